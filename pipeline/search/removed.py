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
        if len(gone) and (gone.min() < 0 or gone.max() >= self.rows):
            raise IndexError(f"row numbers: expected 0 to {self.rows - 1}, got {gone.min()} to {gone.max()}")
        live = self._live.copy()
        np.bitwise_and.at(live, gone >> 3, ~np.left_shift(np.uint8(1), (gone & 7).astype(np.uint8)))
        left = int(np.unpackbits(live, bitorder="little")[: self.rows].sum())
        return Removed(live, self.rows, self.rows - left)

    def hide(self, similarities: NDArray[np.float32], first: int) -> None:
        """Overwrite with -inf the similarities (n, b) of removed rows among those numbered from `first`."""
        if self.count:
            similarities[:, ~self.alive(np.arange(first, first + similarities.shape[1]))] = -np.inf

    def alive(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these row numbers, an array of any shape, may be answered; -1 may not."""
        known = np.maximum(numbers, 0)
        bits = np.right_shift(self._live[known >> 3], (known & 7).astype(np.uint8)) & 1
        answerable: NDArray[np.bool_] = (numbers >= 0) & (bits == 1)
        return answerable
