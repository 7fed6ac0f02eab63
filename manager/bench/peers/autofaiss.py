"""faiss IVF-PQ as autofaiss chooses it."""

from __future__ import annotations

from math import log2, sqrt
from typing import Any

import numpy as np

from manager.bench.peers.engine import BLOCK, Engine, Floats, Knobs, Numbers, Site, doubling, library

BYTES_PER_VECTOR = 160
"""The memory that autofaiss is allowed, which is the most that ours may take: with its default of 16 GB it takes
an HNSW of float32 rows, as long as that fits."""

PQ_SIZES = (256, 128, 64, 48, 32, 24, 16, 8, 4)
HT = 2048
"""autofaiss fixes the Hamming threshold of polysemous codes at this."""

POINTS_PER_CLUSTER = 100


def clusters(rows: int) -> int:
    """The first of autofaiss' `get_optimal_nb_clusters`."""
    if rows < 1_000_000:
        return 1 << round(log2(4 * sqrt(rows)))
    return 16_384 if rows < 10_000_000 else 65_536 if rows < 300_000_000 else 2**17


def index_key(rows: int, dim: int, bytes_per_vector: float = BYTES_PER_VECTOR) -> str:
    """The first of autofaiss 2.18's `get_optimal_index_keys_v2` for so many bytes a vector.

    A transcript of its documented rule: the package itself pins NumPy below 2, so that it cannot be installed
    beside this project.  Below 10,000 rows it takes an HNSW, below 1,000 exact search.
    """
    if rows < 1_000:
        return "Flat"
    if rows < 10_000:
        return "HNSW15"
    links = int((bytes_per_vector / 4 - dim) // 2)
    if links >= 8:
        return f"HNSW{min(links, 32)}"
    count = clusters(rows)
    if rows < 1_000_000 and bytes_per_vector >= 4 * dim + 8 + 4 * dim * count / rows:
        return f"IVF{count},Flat"
    size = next(
        (one for one in PQ_SIZES if one < dim and 4 * dim / (one + 8) >= 4 * dim / bytes_per_vector), PQ_SIZES[-1]
    )
    turned = (min(dim // size, 6) + 1) * size
    coarse = f"IVF{count}" if count < 1_000 else f"IVF{count}_HNSW32"
    return f"OPQ{size}_{turned},{coarse},PQ{size}x8"


class Autofaiss(Engine):
    """The index that autofaiss would build, trained and searched as it does."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._faiss = library("faiss", "lim[cpu]")
        self._faiss.omp_set_num_threads(site.threads)
        self._key = index_key(*site.gallery.shape)
        self._index: Any = None

    @property
    def recipe(self) -> str:
        return f"{self._key} (the rule of autofaiss 2.18 at {BYTES_PER_VECTOR} bytes a vector)"

    @property
    def exact(self) -> bool:
        return self._key == "Flat"

    def build(self) -> dict[str, float]:
        rows = self.site.gallery
        index = self._faiss.index_factory(rows.shape[1], self._key, self._faiss.METRIC_INNER_PRODUCT)
        if not index.is_trained:
            count = min(POINTS_PER_CLUSTER * clusters(len(rows)), len(rows))
            chosen = np.sort(np.random.default_rng(1).choice(len(rows), count, replace=False))
            index.train(rows[chosen].astype(np.float32))
        for start in range(0, len(rows), BLOCK):
            index.add(rows[start : start + BLOCK].astype(np.float32))
        self._faiss.write_index(index, str(self.site.home / "index.faiss"))
        return {}

    def open(self) -> None:
        self._index = self._faiss.read_index(str(self.site.home / "index.faiss"))

    def points(self) -> list[Knobs]:
        if "IVF" in self._key:
            walked = "_HNSW" in self._key  # the cells are found in a graph
            probes = doubling(8, clusters(len(self.site.gallery)))
            return [{"nprobe": one, **({"efSearch": 2 * one} if walked else {}), "ht": HT} for one in probes]
        return [{"efSearch": ef} for ef in doubling(50, 3_200)] if "HNSW" in self._key else [{}]

    def search(self, queries: Floats, k: int, point: Knobs) -> tuple[Floats, Numbers]:
        if point:
            said = ",".join(f"{name}={value}" for name, value in point.items())
            self._faiss.ParameterSpace().set_index_parameters(self._index, said)
        similarities, numbers = self._index.search(queries, k)
        return similarities, numbers
