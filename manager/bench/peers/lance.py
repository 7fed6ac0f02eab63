"""LanceDB: IVF-PQ on disk, with the best re-ranked from the stored vectors."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pyarrow as pa

from manager.bench.peers.engine import BLOCK, Engine, Floats, Knobs, Numbers, Site, doubling, library

TABLE = "faces"
REFINE = (10, 50, 200)
"""Times k that are re-ranked."""

VALUES_PER_CODE = 16
"""Dimensions that share a byte of code, its default."""


class Lance(Engine):
    """A table with its usual vector index."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._library = library("lancedb", "lancedb>=0.30")
        self._index = library("lancedb.index", "lancedb>=0.30")
        rows, dim = site.gallery.shape
        self._partitions = max(1, round(sqrt(rows)))
        self._codes = dim // VALUES_PER_CODE if dim % VALUES_PER_CODE == 0 else dim // 2 if dim % 2 == 0 else dim
        self._table: Any = None

    @property
    def recipe(self) -> str:
        return f"IVF_PQ, {self._partitions} partitions, {self._codes} sub-vectors, re-ranked"

    def build(self) -> dict[str, float]:
        rows = self.site.gallery
        dim = rows.shape[1]
        schema = pa.schema([pa.field("n", pa.int64()), pa.field("vector", pa.list_(pa.float32(), dim))])
        table = self._library.connect(str(self.site.home)).create_table(TABLE, schema=schema)
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK].astype(np.float32)
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), dim)
            numbers = pa.array(np.arange(start, start + len(block), dtype=np.int64))
            table.add(pa.Table.from_arrays([numbers, vectors], schema=schema))
        how = self._index.IvfPq(
            distance_type="cosine", num_partitions=self._partitions, num_sub_vectors=self._codes
        )  # fmt: skip
        table.create_index("vector", config=how)
        return {}

    def open(self) -> None:
        self._table = self._library.connect(str(self.site.home)).open_table(TABLE)

    def points(self) -> list[Knobs]:
        """Few of the cells to all of them, each with more re-ranked."""
        probes = [*doubling(16, self._partitions - 1), self._partitions]
        return [{"nprobes": some, "refine_factor": factor} for some in probes for factor in REFINE]

    def search(self, queries: Floats, k: int, point: Knobs) -> tuple[Floats, Numbers]:
        asked = self._table.search(queries if len(queries) > 1 else queries[0], vector_column_name="vector")
        asked = asked.distance_type("cosine").nprobes(point["nprobes"]).refine_factor(point["refine_factor"])
        found = asked.limit(k).select(["n", "_distance"]).to_arrow()
        numbers, distances = found["n"].to_numpy(), found["_distance"].to_numpy()
        owners = found["query_index"].to_numpy() if len(queries) > 1 else np.zeros(len(numbers), np.int64)
        return _as_lists(owners, numbers, 1 - distances, (len(queries), k))


def _as_lists(owners: Numbers, numbers: Numbers, near: Floats, shape: tuple[int, int]) -> tuple[Floats, Numbers]:
    """Rows of a result as lists per query, best first."""
    order = np.lexsort((-near, owners))
    owners, numbers, near = owners[order], numbers[order], near[order]
    place = np.arange(len(owners)) - np.searchsorted(owners, owners)
    similarities, rows = np.full(shape, -1, np.float32), np.full(shape, -1, np.int64)
    similarities[owners, place], rows[owners, place] = near, numbers
    return similarities, rows
