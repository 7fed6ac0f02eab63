"""Search with candidates from a GPU, re-ranked from mapped rows on the host."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import Protocol

import faiss

from configs.errors import ConfigError
from pipeline.artifact import ArtifactCorrupt, Manifest, Point
from pipeline.device.gpu_codes import why_not_served
from pipeline.device.gpu_found import asked, count
from pipeline.device.gpu_memory import Coded, Plan, cells_plan, exact_plan
from pipeline.device.gpu_session import GpuRefused, Session, session
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

    def close(self) -> None:
        """Free the memory."""
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

    def close(self) -> None:
        """Free the GPU's memory as well."""
        self._candidates.close()
        super().close()


def planned(manifest: Manifest, shard: int, scratch: int) -> Plan:
    """What a shard will take on a GPU with so much scratch, from the manifest alone.

    ArtifactCorrupt where the manifest lacks a number.
    """
    rows, its = manifest.shards[shard].rows, manifest.parameters
    what = f"{manifest.label} {manifest.index_id} shard {shard}"
    if manifest.recipe == "exact":
        return exact_plan(what, rows, manifest.descriptor.dim)
    try:
        groups, out, cells = its["groups"], its["out"], its["nlist"]
    except KeyError as error:
        raise ArtifactCorrupt(f"meta.json: expected the parameter {error} of {manifest.recipe}, got {its}") from None
    coded = Coded(rows=rows, cells=cells, groups=groups, out=out, nprobe=manifest.point.nprobe)
    return cells_plan(what, coded, scratch)


def open_on_gpu(opened: Opened, folder: Path, device: str) -> OnGpu | None:
    """The shard on a GPU for `auto` or `gpu`; None, with a line in the log, when the CPU must serve it.

    Raises ConfigError when `gpu` is demanded and the machine has none; an index that no GPU can
    search, or that does not fit, is left to the CPU in either case.
    """
    missing = asked()
    if missing and device == "gpu":
        raise ConfigError(f"device: expected a GPU because 'gpu' is set, got none: {missing}")
    if missing:
        return None  # said once, when it was asked
    try:
        found = _why_not(opened) or _copied(opened, folder)
    except GpuRefused as error:
        found = str(error)
    if isinstance(found, str):
        _say(found)
        return None
    return found


@functools.cache
def _say(reason: str) -> None:
    """Once in a process for indexes of one reason."""
    logger.info("Searched on the CPU, although there is a GPU: %s.", reason)


def _why_not(opened: Opened) -> str:
    if opened.manifest.recipe not in ("exact", "ivfpq"):
        return f"indexes of the recipe {opened.manifest.recipe}, whose codes no GPU searches"
    return "" if opened.rows else "indexes without rows"


def _copied(opened: Opened, folder: Path) -> OnGpu | str:
    from pipeline.device.gpu_serving import Cells, Flat

    manifest, path, rows, dim = opened.manifest, folder / "index.dat", opened.rows, opened.dim
    where, plan = _roomy(manifest, opened.shard)
    if manifest.recipe == "exact":
        flat = Flat(stored_rows(path, rows=rows, dim=dim), where, plan)
        return OnGpu(opened, flat, Stored(path, rows=rows, dim=dim))
    base = read_index(path)
    expect(base, faiss.IndexPreTransform, path=path, rows=rows, dim=dim)
    missing = why_not_served(base)
    return missing or OnGpu(opened, Cells(base, where, plan), Stored(folder / "vectors.dat", rows=rows, dim=dim))


def _roomy(manifest: Manifest, shard: int) -> tuple[Session, Plan]:
    """Shard s belongs on GPU s modulo their number; where it does not fit, on the next that has room, or GpuRefused."""
    refused = []
    for step in range(gpus := count()):
        try:
            one = session((shard + step) % gpus)
        except GpuRefused as error:  # it does not answer; another one may
            refused.append(str(error))
            continue
        plan = planned(manifest, shard, one.scratch)
        if not (why := one.refusal(plan)):
            logger.info("%s is searched on GPU %d: %s bytes.", plan.what, one.number, f"{plan.nbytes:,}")
            return one, plan
        refused.append(why)
    raise GpuRefused("; ".join(refused))
