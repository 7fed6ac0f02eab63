"""Who a gallery row is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.quality.arrays import Numbers, People
from pipeline.search.people import NOBODY as NOBODY  # also the code of a probe of whom nothing is known


@dataclass(frozen=True, slots=True)
class Persons:
    """Codes of gallery rows.

    A row that the source names no person for is taken for a person of its own: row n has the code -2 - n,
    so that a list without any names needs no memory here.
    """

    known: People | None
    """(total,) code of each row, -1 where unknown; None when the source names no people."""
    total: int

    def of(self, numbers: Numbers) -> Numbers:
        """Codes of rows, in their shape; NOBODY for the number -1."""
        alone = np.where(numbers < 0, NOBODY, -2 - numbers)
        if self.known is None:
            return alone
        codes = self.known[np.maximum(numbers, 0)].astype(np.int64)
        return np.where((numbers < 0) | (codes < 0), alone, codes)

    def rows_of(self, codes: Numbers) -> Numbers:
        """How many rows the gallery has of each person, in the shape of `codes`."""
        one = np.where(codes == NOBODY, 0, 1).astype(np.int64)
        if self.known is None or not (self.known >= 0).any():
            return one
        sizes = np.append(np.bincount(self.known[self.known >= 0]), 0)  # the last for codes beyond
        return np.where(codes >= 0, sizes[np.clip(codes, 0, len(sizes) - 1)], one)
