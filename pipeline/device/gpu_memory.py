"""How many bytes of a GPU something takes, planned before anything is put there; no GPU is asked.

The figures are those of the allocations in faiss' own source (1.15: FlatIndex, IVFBase, IVFPQ, IVFUtils, chooseTileSize).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MOST = 2048
"""faiss' GPU_MAX_SELECTION_K: the most neighbours, and the most probed cells, of one GPU search."""

MOST_SCRATCH = 1536 << 20
"""faiss never takes more scratch than this on one GPU."""

SCRATCH_SHARE = 16
"""Scratch is at most this part of the GPU's memory: 1.5 GiB of 24, 512 MiB of 8."""

RESERVE = 256 << 20
"""For what the driver, cuBLAS and cupy load at the first work: kernels, and workspaces of some 30 MiB a handle."""

BLOCK = 1 << 19
"""Rows of one flat index: as many halves as faiss multiplies at once.

A GPU index that grows copies itself, which takes twice its memory for a moment, and one that is filled at once needs
all rows as float32 on the host: 1 GiB a block at 512 dimensions are neither.
"""

SUM_BLOCK = 32_768
"""Rows summed at a time."""

LIST_SLACK = 2048
"""Bytes that CUDA may waste on one cell: two allocations, rounded up."""

LONGEST = 4
"""How much longer than the mean the longest cell is taken to be: the manifest does not say."""

LEAST_QUERIES, LEAST_ALLOCATION = 8, 512 << 20
"""Where the scratch has not the room for so many queries, faiss allocates this much, or a single query's, beside it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Bytes of a GPU beside the scratch, by what they are for."""

    what: str
    parts: Mapping[str, int]

    @property
    def nbytes(self) -> int:
        """All of them."""
        return sum(self.parts.values())

    def refusal(self, free: int, held_back: int) -> str:
        """Why `free` bytes do not suffice where scratch and driver take `held_back` of them; "" where they do."""
        if self.nbytes + held_back <= free:
            return ""
        parts = ", ".join(f"{name} {nbytes:,}" for name, nbytes in self.parts.items())
        listed = f" ({parts})" if parts else ""
        return f"{self.what}: needs {self.nbytes:,} bytes{listed} and {held_back:,} for scratch, free are {free:,}"


def scratch_of(total: int) -> int:
    """Bytes that faiss keeps for intermediate results on a GPU of `total` bytes."""
    return min(MOST_SCRATCH, total // SCRATCH_SHARE)


def tile_bytes(dim: int, scratch: int) -> int:
    """Rows (n, dim) of float32, in bytes, that go to the GPU at a time in a search: with all else they fit the scratch.

    faiss multiplies 512 queries (1,024 up to 32 dimensions) with a tile, into two float32 buffers by turns: these get
    half of the scratch, rows and queries a sixth each.
    """
    rows = scratch // 2 // (2 * 4 * (1024 if dim <= 32 else 512))
    return min(rows * dim * 4, scratch // 6)


def queries_at_once(scratch: int) -> int:
    """Queries whose products with a block of halves, in two buffers, take two thirds of the scratch; at least one."""
    return max(1, scratch * 2 // 3 // (2 * 4 * BLOCK))


def sums_plan(count: int, dim: int) -> Plan:
    """Partial sums of `count` cells: int64 sums; of a block float32 and int64 rows, and cells."""
    return Plan("partial sums", {"sums": count * dim * 8, "a block": SUM_BLOCK * (dim * (4 + 8) + 8)})


def exact_plan(what: str, rows: int, dim: int) -> Plan:
    """Halves; faiss also keeps each row's norm, and makes those of a block anew for each page that it adds."""
    return Plan(what, {"rows": rows * dim * 2, "norms": (rows + min(rows, BLOCK)) * 4})


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """8-bit codes of `groups` bytes over `out` dimensions in `cells`, of which a search probes `nprobe`."""

    rows: int
    cells: int
    groups: int
    out: int
    nprobe: int


def cells_plan(what: str, its: Coded, scratch: int) -> Plan:
    """Codes with 4-byte row numbers; the centroids, the zeros beside the codes and their copy; the codebook twice.

    No precomputed tables: they are a term of L2 distances.  The look-up tables of a search are in the scratch, or beside it
    where the scratch is too small for eight queries.
    """
    probed = min(its.nprobe, its.cells, MOST)
    longest = min(its.rows, LONGEST * its.rows // its.cells)
    query = 2 * (probed * (its.groups * 256 * 4 + 8 + longest * 4) + 8 + min(8, probed) * MOST * 12)
    fits = scratch // query >= LEAST_QUERIES
    return Plan(what, {
        "codes": its.rows * its.groups,
        "row numbers": its.rows * 4,
        "cells": its.cells * (LIST_SLACK + 3 * 8),
        "centroids": its.cells * (3 * its.out + 2) * 4,
        "codebook": 2 * 256 * its.out * 4,
        "tables beside the scratch": 0 if fits else max(LEAST_ALLOCATION, query),
    })  # fmt: skip
