"""hnswlib's build of the same rows, for comparison."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from manager.bench.peers.engine import BLOCK, Halves, library
from manager.bench.peers.graphs import EF_CONSTRUCTION, M
from pipeline.sources.rows import Source


def hnsw(source: Source, rows: int, threads: int) -> dict[str, Any]:
    """Rows a second and core of a graph of the first `rows` rows of a source, which are read beforehand.

    Raises Unavailable with what to install.
    """
    engine = library("hnswlib", "hnswlib>=0.8")
    vectors = _first(source, rows)
    index = engine.Index("ip", vectors.shape[1])
    index.init_index(len(vectors), M=M, ef_construction=EF_CONSTRUCTION, random_seed=1)
    began = time.perf_counter()
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK].astype(np.float32)
        index.add_items(block, np.arange(start, start + len(block)), num_threads=threads)
    seconds = time.perf_counter() - began
    return {
        "recipe": f"HNSW M {M}, efConstruction {EF_CONSTRUCTION}", "rows": len(vectors), "seconds": seconds,
        "rows_per_core": len(vectors) / seconds / threads,
    }  # fmt: skip


def extrapolated(found: dict[str, Any], rows: int) -> float:
    """Rows a second and core at `rows`: every row is looked for among those before it, in a number of steps that grows
    with their logarithm (Malkov, Yashunin, "Efficient and robust approximate nearest neighbor search", 2018, 4.2.1)."""
    slower: float = np.log(rows) / np.log(found["rows"])
    return float(found["rows_per_core"] / slower)


def _first(source: Source, rows: int) -> Halves:
    parts, count = [], 0
    for part in source.partitions(25_000):
        parts.append(source.read(part).descriptors)
        count += len(parts[-1])
        if count >= rows:
            break
    return np.concatenate(parts)[:rows]
