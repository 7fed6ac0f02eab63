"""Fills the cells of a faiss index with codes, in place: nothing is copied twice."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from pipeline.search.index import Numbers

BLOCK = 32
"""Rows of a block of fast-scan codes."""

STEP = 2_048 * BLOCK
"""Rows packed at a time."""

ORDER = np.array([0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15])
"""The places of a block's rows in a register, as faiss' `pq4_pack_codes` has them."""


def fill(index: faiss.IndexIVFPQ, cells: NDArray[np.int32] | None, codes: NDArray[np.uint8]) -> None:
    """Enter codes (n, bytes) in the cells of each row (n, assignments); None = all in one cell.

    A row that is in two cells is entered twice, under the same number.  Rows of a cell are in order of their numbers.
    """
    if cells is None:
        _enter(index, 0, np.arange(len(codes), dtype=np.int64), codes)
    else:
        each = cells.shape[1]
        order = np.argsort(cells.ravel(), kind="stable")
        present, firsts = np.unique(cells.ravel()[order], return_index=True)
        for cell, part in zip(present.tolist(), np.split(order // each, firsts[1:]), strict=True):
            _enter(index, cell, part, codes)
    index.ntotal = len(codes)


def _enter(index: faiss.IndexIVFPQ, cell: int, numbers: Numbers, codes: NDArray[np.uint8]) -> None:
    """The codes of these rows."""
    count, width, lists = len(numbers), codes.shape[1], index.invlists
    is_packed = isinstance(index, faiss.IndexIVFPQFastScan)
    lists.resize(cell, count)
    faiss.rev_swig_ptr(lists.get_ids(cell), count)[:] = numbers
    room = -(-count // BLOCK) * BLOCK if is_packed else count
    stored = faiss.rev_swig_ptr(lists.get_codes(cell), room * width).reshape(room, width)
    for start in range(0, count, STEP):
        some = codes[numbers[start : start + STEP]]
        if is_packed:
            some = packed(some)
        stored[start : start + len(some)] = some


def packed(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """4-bit codes (n, bytes) as fast-scan blocks, (n rounded up to 32, bytes).

    A block is, for each byte of a code, 16 bytes of the low halves of its 32 rows, then 16 of the high ones; a byte of
    them holds two rows, 16 apart.
    """
    count, width = codes.shape
    blocks = np.zeros((-(-count // BLOCK) * BLOCK, width), np.uint8)
    blocks[:count] = codes
    columns = blocks.reshape(-1, BLOCK, width).transpose(0, 2, 1)
    halves = [half[..., ORDER] | half[..., ORDER + 16] << 4 for half in (columns & 15, columns >> 4)]
    return np.concatenate(halves, axis=2).reshape(-1, width)
