"""Runs an opened index over probes, timed in batches of several sizes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipeline.artifact import Point
from pipeline.quality.arrays import Floats, Lists

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


class Searched(Protocol):
    """A shard, or an index of one."""

    @property
    def rows(self) -> int:
        """How many it has."""
        ...

    def search(self, queries: Floats, k: int, *, point: Point) -> Lists:
        """See `pipeline.search.index.Index.search`; numbers are those of the build."""
        ...


def together(times: Sequence[Times]) -> Times:
    """The times of shards as those of one index: sums of what each takes, as one core would search them in turn.

    The sum of 99th percentiles is only an estimate of that of the whole.
    """
    speeds = []
    for each in zip(*(one.speeds for one in times), strict=True):
        middle, slowest = sum(one.p50_ms for one in each), sum(one.p99_ms for one in each)
        speeds.append(
            Speed(each[0].batch, each[0].batch / middle * 1e3, middle, slowest, min(one.calls for one in each))
        )
    return Times(sum(one.batch_us for one in times), tuple(speeds))


def search(index: Searched, queries: Floats, depth: int, point: Point) -> tuple[Lists, list[float]]:
    """Search (p, d) float32 queries for `depth` rows each in batches: what came back, with the seconds of each batch."""
    found = [(np.empty((0, depth), np.float32), np.empty((0, depth), np.int64))]
    seconds = []
    for start in range(0, len(queries), BATCH):
        began = time.perf_counter()
        found.append(index.search(queries[start : start + BATCH], depth, point=point))
        seconds.append(time.perf_counter() - began)
    return (np.concatenate([one[0] for one in found]), np.concatenate([one[1] for one in found])), seconds


def measure(index: Searched, queries: Floats, depth: int, point: Point) -> tuple[Lists, Times]:
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


def _speed(index: Searched, queries: Floats, point: Point, loop: Loop) -> Speed:
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
