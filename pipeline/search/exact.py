"""Exact search: every stored row is compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.artifact import Point
from pipeline.device.products import largest
from pipeline.search.codes import blocks_of_rows
from pipeline.search.index import Floats, Index, Numbers, Opened
from pipeline.search.removed import Removed

BLOCK = 8_192
"""Rows converted to float32 at a time while loading."""


class Exact(Index):
    """All rows as float32 in memory; the file holds them as float16, and is read, not mapped, so that they are there once."""

    def __init__(self, opened: Opened, index_file: Path) -> None:
        super().__init__(opened)
        self._rows = np.empty((opened.rows, opened.dim), np.float32)
        start = 0
        for block in blocks_of_rows(index_file, rows=opened.rows, dim=opened.dim, size=BLOCK):
            self._rows[start : start + len(block)] = block
            start += len(block)

    def _search(self, queries: Floats, k: int, point: Point, removed: Removed | None) -> tuple[Floats, Numbers]:
        some = min(k, self.rows)
        similarities, numbers = largest(queries, self._rows, some, None if removed is None else removed.hide)
        missing = ((0, 0), (0, k - some))  # a list shorter than k
        return np.pad(similarities, missing, constant_values=-1), np.pad(numbers, missing, constant_values=-1)
