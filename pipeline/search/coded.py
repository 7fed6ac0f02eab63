"""Compressed search: codes of every row, or of the probed cells, with the best re-ranked.

One class serves the scan (one cell) and cells, since faiss reads both as an inverted file.
"""

from __future__ import annotations

from pathlib import Path

import faiss

from pipeline.artifact import ArtifactCorrupt, Point
from pipeline.search.codes import expect, read_index
from pipeline.search.index import Floats, Index, Numbers, Opened
from pipeline.search.removed import Removed


class Coded(Index):
    """Codes in memory, re-ranking vectors mapped from their file."""

    def __init__(self, opened: Opened, index_file: Path, vectors_file: Path) -> None:
        super().__init__(opened)
        self._base = read_index(index_file)
        expect(self._base, faiss.IndexPreTransform, path=index_file, rows=opened.rows, dim=opened.dim)
        inner = faiss.downcast_index(self._base.index)
        if not isinstance(inner, faiss.IndexIVFPQFastScan | faiss.IndexIVFPQ):
            raise ArtifactCorrupt(f"{index_file.name}: expected product codes in cells, got {type(inner).__name__}")
        self._vectors = read_index(vectors_file, mapped=True)
        expect(self._vectors, faiss.IndexScalarQuantizer, path=vectors_file, rows=opened.rows, dim=opened.dim)
        self._refined = faiss.IndexRefine(self._base, self._vectors)

    def _search(self, queries: Floats, k: int, point: Point, removed: Removed | None) -> tuple[Floats, Numbers]:
        cells = faiss.SearchParametersIVF(nprobe=point.nprobe)
        if removed is not None and removed.count:
            cells.sel = removed.selector
        parameters = faiss.IndexRefineSearchParameters(
            # faiss takes the depth as a factor of k and truncates the product; the half keeps it whole.
            k_factor=(max(point.rerank, k) + 0.5) / k,
            base_index_params=faiss.SearchParametersPreTransform(index_params=cells),
        )
        return self._refined.search(queries, k, params=parameters)  # type: ignore[no-any-return]
