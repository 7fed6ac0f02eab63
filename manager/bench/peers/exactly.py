"""Exact search: ours, beside a matrix product with what is at hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import numpy as np

from manager.bench.peers.engine import BATCH, BLOCK, Engine, Floats, Knobs, Numbers, Site, library
from pipeline.artifact import Descriptor, Ids, Manifest, Memory, Point, Shard, content_digest, format_of
from pipeline.device.threads import set_threads
from pipeline.search.assembly import RowCoder
from pipeline.search.index import Index
from pipeline.search.opening import open_index

BATCHES = (64, 256, 1024)
BLAS_THRESHOLD = 20
"""faiss' documented default, from which it uses matrix products; its wheel is built with 128,000."""


class Exact(Engine):
    """Our exact recipe, opened as a matcher opens it."""

    kept = False

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._index: Index

    @property
    def recipe(self) -> str:
        return "exact, the best of batches of 64, 256, 1024"

    @property
    def exact(self) -> bool:
        return True

    def build(self) -> dict[str, float]:
        rows = self.site.gallery
        coder = RowCoder("float16", rows.shape[1], np.empty(0, np.float32))
        with (self.site.home / "index.dat").open("wb") as out:
            out.write(coder.header(len(rows)))
            for start in range(0, len(rows), BLOCK):
                out.write(np.ascontiguousarray(rows[start : start + BLOCK]).data)
        (self.site.home / "ids.dat").write_bytes(Ids.encode(np.arange(len(rows), dtype=np.int64)))
        return {}

    def open(self) -> None:
        set_threads(self.site.threads)
        self._index = open_index(self.site.home, _manifest(*self.site.gallery.shape))

    def points(self) -> list[Knobs]:
        return [{"batch": batch} for batch in BATCHES]

    def search(self, queries: Floats, k: int, point: Knobs) -> tuple[Floats, Numbers]:
        return self._index.search(queries, k)


class Flat(Engine):
    """A flat scan as people write it: faiss' IndexFlatIP or NumPy, whichever answers a batch sooner here."""

    kept = False

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._faiss = library("faiss", "lim[cpu]")
        self._faiss.omp_set_num_threads(site.threads)
        self._faiss.cvar.distance_compute_blas_threshold = BLAS_THRESHOLD
        self._rows = np.empty((0, 0), np.float32)
        self._scan: Any = None

    @property
    def recipe(self) -> str:
        name = {self._by_faiss: "faiss IndexFlatIP", self._by_product: "NumPy product"}.get(self._scan, "flat")
        return f"{name}, the best of batches of 64, 256, 1024"

    @property
    def exact(self) -> bool:
        return True

    def build(self) -> dict[str, float]:
        """Nothing to build."""
        return {"build_s": 0.0}

    def open(self) -> None:
        rows = self.site.gallery
        self._rows = np.empty(rows.shape, np.float32)
        for start in range(0, len(rows), BLOCK):
            self._rows[start : start + BLOCK] = rows[start : start + BLOCK]
        probe, spent = self._rows[:BATCH].copy(), {}
        for scan in (self._by_faiss, self._by_product):
            scan(probe, 10)  # the first call starts threads
            began = time.perf_counter()
            scan(probe, 10)
            spent[scan] = time.perf_counter() - began
        self._scan = min(spent, key=lambda one: spent[one])

    def points(self) -> list[Knobs]:
        return [{"batch": batch} for batch in BATCHES]

    def search(self, queries: Floats, k: int, point: Knobs) -> tuple[Floats, Numbers]:
        found: tuple[Floats, Numbers] = self._scan(queries, min(k, len(self._rows)))
        return found

    def _by_faiss(self, queries: Floats, k: int) -> tuple[Floats, Numbers]:
        found: tuple[Floats, Numbers] = self._faiss.knn(queries, self._rows, k, self._faiss.METRIC_INNER_PRODUCT)
        return found

    def _by_product(self, queries: Floats, k: int) -> tuple[Floats, Numbers]:
        similarities = queries @ self._rows.T
        best = np.argpartition(similarities, len(self._rows) - k, axis=1)[:, -k:]
        near = np.take_along_axis(similarities, best, axis=1)
        order = np.argsort(-near, axis=1)
        return np.take_along_axis(near, order, axis=1), np.take_along_axis(best, order, axis=1).astype(np.int64)


def _manifest(rows: int, dim: int) -> Manifest:
    shards = (Shard(rows=rows, files=(), memory=Memory(anonymous=rows * dim * 4, mapped=8 * rows)),)
    return Manifest(
        format=format_of(shards), label="bench", index_id="exact", created=datetime.now(UTC).isoformat(timespec="seconds"),
        descriptor=Descriptor(version="bench", dim=dim), count=rows, recipe="exact", parameters={}, point=Point(0, 0),
        points=(), quality={}, delta_seq=0, watermark=None, shards=shards, seed=1, versions={}, forced=False,
        rejects={"count": 0}, content_digest=content_digest("exact", {}, Point(0, 0), shards),
    )  # fmt: skip
