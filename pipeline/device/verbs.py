"""What a build asks of a device: five numeric verbs."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]
Ids = NDArray[np.int64]
Codes = NDArray[np.uint8]

FIXED_POINT = 1 << 30
"""Scale of partial sums: int64 sums of rows scaled by it are exact in any order, also with atomics.

A component of a unit-norm row is at most 1, so 2^33 rows fit into an int64 without overflow.
"""


class Device(Protocol):
    """The five verbs.  Arrays go in and come out as NumPy arrays of the host, C-contiguous."""

    kind: str
    """`cpu` or `gpu`."""

    def nearest(self, rows: Floats, centroids: Floats) -> tuple[Ids, Floats]:
        """Number and inner product of the nearest of (c, d) centroids for each of (n, d) rows: (n,), (n,)."""
        ...

    def sums(self, rows: Floats, cells: Ids, count: int) -> tuple[Ids, Ids]:
        """Sums (count, d) int64 in fixed point and sizes (count,) int64 of the rows (n, d) of each cell (n,)."""
        ...

    def train_codes(self, rows: Floats, groups: int, bits: int, *, seed: int) -> Floats:
        """Codebook (groups, 2**bits, d / groups) float32 of a product quantiser trained on rows (n, d)."""
        ...

    def encode(self, rows: Floats, codebook: Floats) -> Codes:
        """Product codes (n, groups * bits / 8) uint8 of rows (n, d), packed as faiss packs them."""
        ...

    def knn(self, queries: Floats, rows: Floats, k: int) -> tuple[Floats, Ids]:
        """The k largest inner products (q, k) float32, descending, and their row numbers (q, k) int64."""
        ...


def check_matrix(name: str, rows: NDArray[Any], dim: int | None = None) -> None:
    """Raise ValueError unless `rows` is an (n, dim) C-contiguous float32 matrix."""
    if rows.ndim != 2 or rows.dtype != np.float32 or not rows.flags.c_contiguous:
        raise ValueError(f"{name}: expected a C-contiguous (n, d) float32 matrix, got {rows.dtype} {rows.shape}")
    if dim is not None and rows.shape[1] != dim:
        raise ValueError(f"{name}: expected {dim} columns, got {rows.shape[1]}")


def check_cells(cells: NDArray[Any], rows: int, count: int) -> None:
    """Raise ValueError unless `cells` holds, for each of `rows` rows, a number below `count`."""
    if cells.shape != (rows,) or not np.issubdtype(cells.dtype, np.integer):
        raise ValueError(f"cells: expected ({rows},) integers, got {cells.dtype} {cells.shape}")
    if rows and (cells.min() < 0 or cells.max() >= count):
        raise ValueError(f"cells: expected numbers from 0 to {count - 1}, got {cells.min()} to {cells.max()}")
