"""Runs an opened index over probes, in batches, timed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from pipeline.artifact import Point
from pipeline.quality.arrays import Floats, Numbers
from pipeline.search.index import Index

BATCH = 256
SINGLES = 100
"""Requests timed one by one."""


@dataclass(frozen=True, slots=True)
class Run:
    """What came back, with how long it took on the threads of the task."""

    similarities: Floats
    numbers: Numbers
    batch_us: float
    """Microseconds per request in batches of 256."""
    p50_ms: float
    p99_ms: float
    """Milliseconds of single requests."""


def run(index: Index, queries: Floats, depth: int, point: Point) -> Run:
    """Search (p, d) queries for `depth` rows each."""
    index.search(queries[:BATCH], depth, point=point)  # the first touch of mapped rows is not what is measured
    started = time.perf_counter()
    found = [
        index.search(queries[start : start + BATCH], depth, point=point) for start in range(0, len(queries), BATCH)
    ]
    spent = time.perf_counter() - started
    singles = []
    for number in range(min(SINGLES, len(queries))):
        began = time.perf_counter()
        index.search(queries[number : number + 1], depth, point=point)
        singles.append((time.perf_counter() - began) * 1e3)
    return Run(
        np.concatenate([similarities for similarities, _ in found]),
        np.concatenate([numbers for _, numbers in found]),
        spent / len(queries) * 1e6,
        float(np.percentile(singles, 50)),
        float(np.percentile(singles, 99)),
    )
