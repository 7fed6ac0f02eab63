"""Runs an opened index over probes, timed in batches of several sizes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from pipeline.artifact import Point
from pipeline.quality.arrays import Floats, Lists
from pipeline.search.index import Index

BATCH = 256
"""Probes searched at a time for their answers."""

SPEED_BATCHES = (1, 8, 64, 256)

LEAST_CALLS, MOST_CALLS = 3, 200
"""Timed calls of each batch size; between the two, as many as its share of time allows."""

MOST_SECONDS = 0.25
"""Time for a batch size.  All sizes together take no longer than the answers did, so that timing at most doubles."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast batches of one size are answered on the threads of the task."""

    batch: int
    qps: float
    """Requests a second, from the median call: a stage of a build is rarely alone on its machine."""
    p50_ms: float
    p99_ms: float
    """Milliseconds of a whole call."""
    calls: int
    """Timed calls; of few, the 99th percentile is the slowest."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long an operating point takes on the threads of the task."""

    batch_us: float
    """Microseconds per request while all probes were answered in batches of 256."""
    speeds: tuple[Speed, ...]


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
    """Answers to (p, d) float32 queries, `depth` rows each, with times in batches of several sizes."""
    index.search(queries[:BATCH], depth, point=point)  # the first touch of mapped rows is not what is measured
    lists, batches = search(index, queries, depth, point)
    limit_s = min(MOST_SECONDS, sum(batches) / len(SPEED_BATCHES))
    speeds = tuple(_speed(index, queries, point, Loop(depth, size, limit_s)) for size in SPEED_BATCHES)
    return lists, Times(sum(batches) / len(queries) * 1e6, speeds)


@dataclass(frozen=True, slots=True)
class Loop:
    """Calls of one size."""

    depth: int
    batch: int
    limit_s: float


def _speed(index: Index, queries: Floats, point: Point, loop: Loop) -> Speed:
    """Time calls that go through the probes again and again, of few probes too."""
    calls: list[float] = []
    while len(calls) < MOST_CALLS and (len(calls) < LEAST_CALLS or sum(calls) < loop.limit_s):
        first = len(calls) * loop.batch
        some = queries[np.arange(first, first + loop.batch) % len(queries)]
        began = time.perf_counter()
        index.search(some, loop.depth, point=point)
        calls.append(time.perf_counter() - began)
    middle, slowest = (float(np.percentile(calls, share)) for share in (50, 99))
    return Speed(loop.batch, loop.batch / middle, middle * 1e3, slowest * 1e3, len(calls))
