"""Search with candidates from a GPU, re-ranked from mapped rows on the host."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

import faiss

from configs.errors import ConfigError
from pipeline.artifact import Point
from pipeline.device import gpu_session
from pipeline.device.gpu_codes import why_not_served
from pipeline.search.codes import expect, read_index, stored_rows
from pipeline.search.index import Floats, Index, Numbers, Opened
from pipeline.search.overfetch import live
from pipeline.search.removed import Removed
from pipeline.search.stored import Stored

logger = logging.getLogger(__name__)

HALF_MARGIN = 32
"""Exact candidates re-ranked beyond k: comparing halves may swap rows whose similarities differ by 1e-3."""


class Candidates(Protocol):
    """Rows that may be the most similar ones."""

    most: int
    """The largest depth."""

    def nearest(self, queries: Floats, depth: int, nprobe: int) -> tuple[Floats, Numbers]:
        """Approximate similarities (n, depth), descending, with row numbers, -1 where there are no more."""
        ...


class OnGpu(Index):
    """Any recipe whose candidates come from a device that knows nothing of removed rows."""

    def __init__(self, opened: Opened, candidates: Candidates, stored: Stored) -> None:
        super().__init__(opened)
        self._candidates = candidates
        self._stored = stored
        self._margin = HALF_MARGIN if opened.manifest.recipe == "exact" else 0

    def _search(self, queries: Floats, k: int, point: Point, removed: Removed | None) -> tuple[Floats, Numbers]:
        most = self._candidates.most
        if k > most:
            return self._stored.search(queries, k, removed)

        def fetch(some: Floats, depth: int) -> tuple[Floats, Numbers]:
            return self._candidates.nearest(some, depth, point.nprobe)

        _, numbers, cut = live(queries, min(max(point.rerank, k + self._margin), most), removed, fetch, most=most)
        similarities, best = self._stored.best(queries, numbers, k)
        lost = cut & (best < 0).any(axis=1)
        if lost.any():
            logger.warning(
                "%s: %d of %d queries have fewer than %d live rows among their %d nearest and were compared with all "
                "rows on the CPU, which is slow: rebuild the index without the %d removed rows.",
                self.manifest.label, lost.sum(), len(queries), k, most, removed.count if removed else 0,
            )  # fmt: skip
            similarities[lost], best[lost] = self._stored.search(queries[lost], k, removed)
        return similarities, best


def open_on_gpu(opened: Opened, folder: Path, device: str) -> OnGpu | None:
    """The shard on the GPU for `auto` or `gpu`; None, with a line in the log, when the CPU must serve it.

    Raises ConfigError when `gpu` is demanded and the machine has none; an index that no GPU can
    search, or that does not fit, is left to the CPU in either case.
    """
    missing = gpu_session.why_not()
    if missing and device == "gpu":
        raise ConfigError(f"device: expected a GPU because 'gpu' is set, got none: {missing}")
    name = f"{opened.manifest.label} {opened.manifest.index_id}"
    try:
        found = missing or _copied(opened, folder)
    except gpu_session.GpuTooSmall as error:
        found = str(error)
    if isinstance(found, str):
        logger.info("%s is searched on the CPU: %s.", name, found)
        return None
    logger.info("%s is searched on the GPU.", name)
    return found


def _copied(opened: Opened, folder: Path) -> OnGpu | str:
    from pipeline.device.gpu_serving import Cells, Flat

    path, rows, dim = folder / "index.dat", opened.rows, opened.dim
    if opened.manifest.recipe not in ("exact", "ivfpq"):
        return f"no GPU searches the codes of the recipe {opened.manifest.recipe}"
    if not rows:
        return "it has no rows"
    if opened.manifest.recipe == "exact":
        return OnGpu(opened, Flat(stored_rows(path, rows=rows, dim=dim)), Stored(path, rows=rows, dim=dim))
    base = read_index(path)
    expect(base, faiss.IndexPreTransform, path=path, rows=rows, dim=dim)
    missing = why_not_served(base)
    return missing or OnGpu(opened, Cells(base), Stored(folder / "vectors.dat", rows=rows, dim=dim))
