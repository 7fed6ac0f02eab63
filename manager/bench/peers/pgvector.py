"""pgvector: an HNSW in Postgres, asked over as many connections as there are threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from manager.bench.peers.engine import BLOCK, Engine, Floats, Knobs, Numbers, Site, doubling, library, padded
from manager.bench.peers.graphs import EF_CONSTRUCTION, M
from manager.bench.peers.postgres import Postgres

MOST_EF = 1_000
"""The largest hnsw.ef_search that pgvector takes."""

SLACK = 1.6
"""Memory given for an index, as a multiple of its vectors: no page is read twice."""

ASK = "SELECT n, v <#> %b FROM faces ORDER BY v <#> %b LIMIT %s"


class Pgvector(Engine):
    """A table with one index, all in shared buffers."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        library("psycopg", "psycopg[binary]>=3.2")
        self._adapter = library("pgvector.psycopg", "pgvector>=0.3")
        rows, dim = site.gallery.shape
        self._room = f"{int(SLACK * rows * (4 * dim + 300) / 2**20) + 64}MB"
        self._server = Postgres(
            site.home, shared_buffers=self._room, maintenance_work_mem=self._room,
            # the default, shared memory of the system, is small in containers
            # a server process that builds an index looks neither at its parent nor at its client unless told to
            dynamic_shared_memory_type="mmap", client_connection_check_interval="500ms", fsync="off", max_wal_size="8GB",
            max_parallel_maintenance_workers=str(max(site.threads - 1, 0)),
        )  # fmt: skip
        self._lines: list[Any] = []
        self._pool = ThreadPoolExecutor(site.threads, "pgvector")
        self._ef = 0

    @property
    def recipe(self) -> str:
        return f"HNSW m {M}, ef_construction {EF_CONSTRUCTION}, {self.site.threads} connections"

    def build(self) -> dict[str, float]:
        rows = self.site.gallery
        line = self._server.start()
        line.execute("CREATE EXTENSION IF NOT EXISTS vector")
        self._adapter.register_vector(line)
        line.execute(f"CREATE TABLE faces (n integer, v vector({rows.shape[1]}))")
        with line.cursor() as cursor, cursor.copy("COPY faces (n, v) FROM STDIN WITH (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "vector"])
            for start in range(0, len(rows), BLOCK):
                for at, row in enumerate(rows[start : start + BLOCK].astype(np.float32)):
                    copy.write_row((start + at, row))
        line.execute(
            f"CREATE INDEX ON faces USING hnsw (v vector_ip_ops) WITH (m={M}, ef_construction={EF_CONSTRUCTION})"
        )
        line.execute("VACUUM ANALYZE faces")
        line.close()
        self._server.stop()
        return {}

    def open(self) -> None:
        self._lines = [self._server.start(), *(self._server.connect() for _ in range(self.site.threads - 1))]
        for line in self._lines:
            self._adapter.register_vector(line)
            line.execute("SET enable_seqscan = off")

    def points(self) -> list[Knobs]:
        return [{"hnsw.ef_search": ef} for ef in [*doubling(50, MOST_EF), MOST_EF]]

    def search(self, queries: Floats, k: int, point: Knobs) -> tuple[Floats, Numbers]:
        if self._ef != (wanted := int(point["hnsw.ef_search"])):
            for line in self._lines:
                line.execute(f"SET hnsw.ef_search = {wanted}")
            self._ef = wanted
        shares = np.array_split(np.arange(len(queries)), len(self._lines))
        answers = self._pool.map(lambda pair: _ask(pair[0], queries[pair[1]], k), zip(self._lines, shares, strict=True))
        found = [rows for answer in answers for rows in answer]
        return padded([[-far for _, far in rows] for rows in found], [[n for n, _ in rows] for rows in found], k)

    def close(self) -> None:
        self._pool.shutdown()
        for line in self._lines:
            line.close()
        self._server.stop()


def _ask(line: Any, queries: Floats, k: int) -> list[list[tuple[int, float]]]:
    """The answers to some queries over one connection, all of them on their way at once."""
    with line.pipeline():
        cursors = [line.execute(ASK, (query, query, k), prepare=True) for query in queries]
    return [cursor.fetchall() for cursor in cursors]
