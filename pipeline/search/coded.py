"""Compressed search: codes of every row, or of the probed cells, with the best re-ranked.

One class serves the scan (one cell) and cells, since faiss reads both as an inverted file.
"""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np

from pipeline.artifact import ArtifactCorrupt, Point
from pipeline.search.codes import STORED_FORMS, expect, read_index
from pipeline.search.index import Floats, Index, Numbers, Opened
from pipeline.search.removed import Removed


class Coded(Index):
    """Codes in memory, re-ranking vectors mapped from their file."""

    def __init__(self, opened: Opened, index_file: Path, vectors_file: Path) -> None:
        super().__init__(opened)
        self._base = read_codes(index_file, opened)
        self._vectors = read_index(vectors_file, mapped=True)
        expect(self._vectors, STORED_FORMS, path=vectors_file, rows=opened.rows, dim=opened.dim)
        self._refined = faiss.IndexRefine(self._base, self._vectors)
        self._each = int(opened.manifest.parameters.get("assignments", 1))
        """Cells that a row is in, and so how often it may be found."""

    def _search(self, queries: Floats, k: int, point: Point, removed: Removed | None) -> tuple[Floats, Numbers]:
        wanted, depth = k * self._each, max(point.rerank, k) * self._each
        parameters = faiss.IndexRefineSearchParameters(
            # faiss takes the depth as a factor of k and truncates the product; the half keeps it whole.
            k_factor=(depth + 0.5) / wanted,
            base_index_params=base_parameters(point, removed),
        )
        found = self._refined.search(queries, wanted, params=parameters)
        return found if self._each == 1 else once(found, k)


def read_codes(path: Path, opened: Opened) -> faiss.IndexPreTransform:
    """The codes of a shard, in memory; raises ArtifactCorrupt for a file of something else."""
    base = read_index(path)
    expect(base, faiss.IndexPreTransform, path=path, rows=opened.rows, dim=opened.dim)
    inner = faiss.downcast_index(base.index)
    if not isinstance(inner, faiss.IndexIVFPQFastScan | faiss.IndexIVFPQ):
        raise ArtifactCorrupt(f"{path.name}: expected product codes in cells, got {type(inner).__name__}")
    return base


def base_parameters(point: Point, removed: Removed | None) -> faiss.SearchParametersPreTransform:
    """How the codes are searched."""
    cells = faiss.SearchParametersIVF(nprobe=point.nprobe)
    if removed is not None and removed.count:
        cells.sel = removed.selector
    return faiss.SearchParametersPreTransform(index_params=cells)


def once(found: tuple[Floats, Numbers], k: int) -> tuple[Floats, Numbers]:
    """The first k of each list (n, any) in which no row comes twice."""
    similarities, numbers = found
    order = np.argsort(numbers, axis=1, kind="stable")
    ascending = np.take_along_axis(numbers, order, axis=1)
    again = np.zeros(numbers.shape, bool)
    np.put_along_axis(again, order[:, 1:], (ascending[:, 1:] == ascending[:, :-1]) & (ascending[:, 1:] >= 0), axis=1)
    first = np.argsort(again | (numbers < 0), axis=1, kind="stable")[:, :k]
    gone = np.take_along_axis(again, first, axis=1)
    kept = np.where(gone, -1, np.take_along_axis(numbers, first, axis=1))
    return np.take_along_axis(similarities, first, axis=1), kept
