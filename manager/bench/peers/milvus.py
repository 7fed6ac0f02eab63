"""Milvus Lite: the local Milvus, through its usual client."""

from __future__ import annotations

from typing import Any

import numpy as np

from manager.bench.peers.engine import Engine, Floats, Knobs, Numbers, Site, library, padded
from manager.bench.peers.graphs import EF, EF_CONSTRUCTION, M

COLLECTION = "faces"
INSERT = 1_000
"""Rows of an insertion, below the largest message that its server takes."""


class Milvus(Engine):
    """A collection with an HNSW in a file of its own."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        library("milvus_lite", "milvus-lite>=2.4")
        self._library = library("pymilvus", "pymilvus>=2.5")
        self._client: Any = None

    @property
    def recipe(self) -> str:
        return f"HNSW M {M}, efConstruction {EF_CONSTRUCTION}"

    def _connect(self) -> Any:
        return self._library.MilvusClient(str(self.site.home / "milvus.db"))

    def build(self) -> dict[str, float]:
        rows, client, kinds = self.site.gallery, self._connect(), self._library.DataType
        schema = self._library.MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", kinds.INT64, is_primary=True)
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=rows.shape[1])
        client.create_collection(COLLECTION, schema=schema)
        for start in range(0, len(rows), INSERT):
            block = rows[start : start + INSERT].astype(np.float32)
            client.insert(COLLECTION, [{"id": start + at, "vector": row} for at, row in enumerate(block)])
        client.flush(COLLECTION)
        index = client.prepare_index_params()
        parameters = {"M": M, "efConstruction": EF_CONSTRUCTION}
        index.add_index("vector", index_type="HNSW", metric_type="IP", params=parameters)
        client.create_index(COLLECTION, index)
        client.load_collection(COLLECTION)
        client.close()
        return {}

    def open(self) -> None:
        self._client = self._connect()
        self._client.load_collection(COLLECTION)

    def points(self) -> list[Knobs]:
        return [{"ef": ef} for ef in EF]

    def search(self, queries: Floats, k: int, point: Knobs) -> tuple[Floats, Numbers]:
        found = self._client.search(
            COLLECTION, data=list(queries), limit=k, anns_field="vector", output_fields=["id"],
            search_params={"metric_type": "IP", "params": point},
        )  # fmt: skip
        similarities = [[hit["distance"] for hit in hits] for hits in found]
        return padded(similarities, [[hit["id"] for hit in hits] for hits in found], k)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
