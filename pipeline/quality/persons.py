"""Who a gallery row is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.quality.arrays import Numbers, People
from pipeline.search.people import NOBODY as NOBODY  # also the code of a probe of whom nothing is known

BLOCK = 1 << 18
"""Rows looked at together: what is computed of them takes some megabytes."""


@dataclass(frozen=True)
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

    @cached_property
    def _sizes(self) -> People | None:
        """Rows of every code, and a zero for codes beyond; None where nobody is known."""
        if self.known is None or not len(self.known) or (most := int(self.known.max())) < 0:
            return None
        sizes = np.zeros(most + 2, np.int32)
        for start in range(0, len(self.known), BLOCK):
            codes, counts = np.unique(self.known[start : start + BLOCK], return_counts=True)
            sizes[codes[codes >= 0]] += counts[codes >= 0].astype(np.int32)
        return sizes

    def rows_of(self, codes: Numbers) -> Numbers:
        """How many rows the gallery has of each person, in the shape of `codes`."""
        one = np.where(codes == NOBODY, 0, 1).astype(np.int64)
        sizes = self._sizes
        if sizes is None:
            return one
        return np.where(codes >= 0, sizes[np.clip(codes, 0, len(sizes) - 1)], one)
