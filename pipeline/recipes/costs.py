"""Predicted cost of searches: constants, so that a build that is run again, or elsewhere, decides the same.

Fitted to a two-core AVX-512 server at 500,000 x 512, in microseconds of one core.  What a build measures
is reported beside them and never takes their place.
"""

from __future__ import annotations

REQUEST = 4.0
"""What each request costs whatever is searched."""

EXACT_PER_VALUE = 1.1e-5
"""A component of a row compared in batches: a matrix product."""

PER_ROW = 1.0e-4
"""A row whose code is read, whatever its length."""

PER_CODE_BYTE = 1.65e-5
"""A byte of 4-bit codes, in batches, so that codes stay in cache while several queries read them."""

WIDE_CODE_BYTE = 5.0e-5
"""A byte of 8-bit codes on a CPU: table look-ups without SIMD registers."""

PER_PROBE = 0.17
"""A probed cell."""

PER_DEPTH = 0.15
"""A candidate that is re-ranked."""

RERANK_PER_BYTE = 2.0e-4
"""A byte of its stored vector, read from wherever it lies."""

PER_PROJECTED_VALUE = 2.0e-5
"""A multiplication of the projection, or of the comparison with centroids."""

ALONE_PER_BYTE = 4.0e-5
"""A byte of codes or rows that is read for one query alone: memory, not arithmetic."""


def exact(rows: int, dim: int) -> float:
    """Comparing every row."""
    return REQUEST + rows * dim * EXACT_PER_VALUE


def exact_alone(rows: int, dim: int) -> float:
    """The same for one query alone."""
    return REQUEST + rows * dim * 4 * ALONE_PER_BYTE


def projection(dim: int, out: int) -> float:
    """Turning a query into the space of the codes."""
    return dim * out * PER_PROJECTED_VALUE


def codes(rows: float, code_bytes: int, *, bits: int = 4) -> float:
    """Reading the codes of so many rows in batches."""
    return rows * (PER_ROW + code_bytes * (PER_CODE_BYTE if bits == 4 else WIDE_CODE_BYTE))


def codes_alone(rows: float, code_bytes: int) -> float:
    """Reading them for one query alone."""
    return rows * (PER_ROW + code_bytes * ALONE_PER_BYTE)


def probing(cells: int, out: int, nprobe: int) -> float:
    """Comparing a query with all centroids, then entering the nearest cells."""
    return cells * out * PER_PROJECTED_VALUE + nprobe * PER_PROBE


def reranking(depth: int, row_bytes: int) -> float:
    """Comparing so many stored rows."""
    return depth * (PER_DEPTH + row_bytes * RERANK_PER_BYTE)
