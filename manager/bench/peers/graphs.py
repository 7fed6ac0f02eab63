"""Graphs in memory: hnswlib, USearch."""

from __future__ import annotations

from typing import Any

import numpy as np

from manager.bench.peers.engine import BLOCK, Engine, Floats, Knobs, Numbers, Site, doubling, library

M = 16
EF_CONSTRUCTION = 200
EF = doubling(50, 3_200)
"""The printed grid: 50 · 2^k."""


class Hnswlib(Engine):
    """hnswlib, the usual HNSW."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._library = library("hnswlib", "hnswlib>=0.8")
        self._index: Any = None

    @property
    def recipe(self) -> str:
        return f"HNSW M {M}, efConstruction {EF_CONSTRUCTION}, float32"

    def build(self) -> dict[str, float]:
        rows = self.site.gallery
        index = self._library.Index("ip", rows.shape[1])
        index.init_index(len(rows), M=M, ef_construction=EF_CONSTRUCTION, random_seed=1)
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK].astype(np.float32)
            index.add_items(block, np.arange(start, start + len(block)), num_threads=self.site.threads)
        index.save_index(str(self.site.home / "index.bin"))
        return {}

    def open(self) -> None:
        self._index = self._library.Index("ip", self.site.gallery.shape[1])
        self._index.load_index(str(self.site.home / "index.bin"))

    def points(self) -> list[Knobs]:
        return [{"ef": ef} for ef in EF]

    def search(self, queries: Floats, k: int, point: Knobs) -> tuple[Floats, Numbers]:
        self._index.set_ef(max(point["ef"], k))
        numbers, distances = self._index.knn_query(queries, k, num_threads=self.site.threads)
        return 1 - distances, numbers.astype(np.int64)


class Usearch(Engine):
    """USearch, an HNSW over half floats."""

    dtype = "f16"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._library = library("usearch.index", "usearch>=2.16")
        self._index: Any = None

    @property
    def recipe(self) -> str:
        return f"HNSW connectivity {M}, expansion_add {EF_CONSTRUCTION}, {self.dtype}"

    def _empty(self) -> Any:
        return self._library.Index(
            ndim=self.site.gallery.shape[1], metric="ip", dtype=self.dtype, connectivity=M,
            expansion_add=EF_CONSTRUCTION,
        )  # fmt: skip

    def build(self) -> dict[str, float]:
        rows, index = self.site.gallery, self._empty()
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK].astype(np.float32)
            index.add(np.arange(start, start + len(block)), block, threads=self.site.threads)
        index.save(str(self.site.home / "index.usearch"))
        return {}

    def open(self) -> None:
        self._index = self._empty()
        self._index.load(str(self.site.home / "index.usearch"))

    def points(self) -> list[Knobs]:
        return [{"expansion_search": ef} for ef in EF]

    def search(self, queries: Floats, k: int, point: Knobs) -> tuple[Floats, Numbers]:
        self._index.expansion_search = point["expansion_search"]
        found = self._index.search(queries, k, threads=self.site.threads)
        return 1 - np.atleast_2d(found.distances), np.atleast_2d(found.keys).astype(np.int64)
