"""Rows of an index that may no longer be answered."""

from __future__ import annotations

from collections.abc import Iterable

import faiss
import numpy as np
from numpy.typing import NDArray


class Removed:
    """A bitmap of live rows: bit i is 1 while row i may be answered.

    Immutable once it is visible to a search: `without` makes a new one.
    """

    def __init__(self, live: NDArray[np.uint8], rows: int, count: int) -> None:
        self._live = live
        self.rows = rows
        self.count = count
        self.selector = faiss.IDSelectorBitmap(len(live), faiss.swig_ptr(live))

    @classmethod
    def none(cls, rows: int) -> Removed:
        """Nothing removed from an index of `rows` rows."""
        return cls(np.full((rows + 7) // 8, 0xFF, np.uint8), rows, 0)

    def without(self, numbers: Iterable[int]) -> Removed:
        """A bitmap in which the rows `numbers` are removed as well; raises IndexError outside the index."""
        gone = np.fromiter(numbers, np.int64)
        if len(gone) and not (0 <= gone.min() and gone.max() < self.rows):
            raise IndexError(f"row numbers: expected 0 to {self.rows - 1}, got {gone.min()} to {gone.max()}")
        live = self._live.copy()
        np.bitwise_and.at(live, gone >> 3, ~np.left_shift(np.uint8(1), (gone & 7).astype(np.uint8)))
        left = int(np.unpackbits(live, bitorder="little")[: self.rows].sum())
        return Removed(live, self.rows, self.rows - left)
