"""Exact search: every stored row is compared."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np

from pipeline.artifact import Point
from pipeline.search.codes import stored_rows
from pipeline.search.index import Floats, Index, Numbers, Opened
from pipeline.search.removed import Removed

BLOCK = 65_536
"""Rows converted to float32 at a time while loading."""

# The wheel's threshold for using matrix products is 128,000 queries, so that every real batch would be
# compared pair by pair; 20 is faiss' documented default, and 3 to 8 times faster at batches of 16 to 128.
faiss.cvar.distance_compute_blas_threshold = 20


class Exact(Index):
    """All rows as float32 in memory; the file holds them as float16."""

    def __init__(self, opened: Opened, index_file: Path) -> None:
        super().__init__(opened)
        stored = stored_rows(index_file, rows=opened.rows, dim=opened.dim)
        self._flat = faiss.IndexFlatIP(opened.dim)
        for start in range(0, opened.rows, BLOCK):
            self._flat.add(stored[start : start + BLOCK].astype(np.float32))

    def _search(self, queries: Floats, k: int, point: Point, removed: Removed | None) -> tuple[Floats, Numbers]:
        if removed is None or not removed.count:
            return self._flat.search(queries, k)  # type: ignore[no-any-return]
        return self._flat.search(  # type: ignore[no-any-return]
            queries, k, params=faiss.SearchParameters(sel=removed.selector)
        )
