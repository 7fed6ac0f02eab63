"""Runs an opened index over probes, in batches, timed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from pipeline.artifact import Point
from pipeline.quality.arrays import Floats, Lists
from pipeline.search.index import Index

BATCH = 256
SINGLES = 200
"""Requests timed one by one."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long an operating point takes on the threads of the task."""

    batch_us: float
    """Microseconds per request in batches of 256."""
    batch_p50_ms: float
    batch_p99_ms: float
    """Milliseconds of whole batches."""
    p50_ms: float
    p99_ms: float
    """Milliseconds of single requests."""


def search(index: Index, queries: Floats, depth: int, point: Point) -> tuple[Lists, list[float]]:
    """Search (p, d) float32 queries for `depth` rows each in batches: what came back, with the seconds of each batch."""
    found = [(np.empty((0, depth), np.float32), np.empty((0, depth), np.int64))]
    seconds = []
    for start in range(0, len(queries), BATCH):
        began = time.perf_counter()
        found.append(index.search(queries[start : start + BATCH], depth, point=point))
        seconds.append(time.perf_counter() - began)
    return (np.concatenate([one[0] for one in found]), np.concatenate([one[1] for one in found])), seconds


def measure(index: Index, queries: Floats, depth: int, point: Point) -> tuple[Lists, Times]:
    """Answers to (p, d) float32 queries, `depth` rows each, with times in batches and one by one."""
    index.search(queries[:BATCH], depth, point=point)  # the first touch of mapped rows is not what is measured
    lists, batches = search(index, queries, depth, point)
    singles = []
    for number in range(min(SINGLES, len(queries))):
        began = time.perf_counter()
        index.search(queries[number : number + 1], depth, point=point)
        singles.append(time.perf_counter() - began)
    whole = batches[: len(queries) // BATCH] or batches  # a shorter last batch says nothing
    return lists, Times(
        batch_us=sum(batches) / len(queries) * 1e6,
        batch_p50_ms=float(np.percentile(whole, 50)) * 1e3,
        batch_p99_ms=float(np.percentile(whole, 99)) * 1e3,
        p50_ms=float(np.percentile(singles, 50)) * 1e3,
        p99_ms=float(np.percentile(singles, 99)) * 1e3,
    )
