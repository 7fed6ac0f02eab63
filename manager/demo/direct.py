"""Calls the published index without anything around it: what the wire is compared with."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manager.demo.plan import LABEL
from manager.demo.steps import LIMIT
from manager.embedded.stack import Stack
from pipeline.artifact import Cache, open_store, read_head, read_manifest
from pipeline.device.threads import set_threads
from pipeline.search.index import Index
from pipeline.search.opening import open_index

BATCH = 256
PART = 64


@contextmanager
def published(stack: Stack, folder: Path) -> Iterator[Index]:
    """The published index, opened from a cache in `folder` as the matcher opens it."""
    store = open_store(stack.storage.bucket, stack.storage)
    manifest = read_manifest(store, LABEL, read_head(store, LABEL)[0].index_id)
    index = open_index(Cache(folder, 1 << 40).fetch(store, manifest), manifest)
    try:
        yield index
    finally:
        index.close()


def direct_per_s(index: Index, probes: NDArray[np.float32], seconds: float = 2.0) -> float:
    """Requests a second in batches of 256 over all cores, called as the matcher calls it, which is the fastest way.

    Two batches are on their way, each dealt in parts to single-threaded searchers, so that no core waits for
    another.  One call that shares its batch between OpenMP threads reaches about two thirds of it.
    """
    threads = os.cpu_count() or 1
    queries = np.ascontiguousarray(np.resize(probes, (max(len(probes), 2 * BATCH), probes.shape[1])))
    starts = itertools.cycle(range(0, len(queries) - BATCH + 1, BATCH))
    with ThreadPoolExecutor(threads, "direct", initializer=set_threads, initargs=(1,)) as pool:

        def begin() -> list[Future[Any]]:
            start = next(starts)
            parts = range(start, start + BATCH, PART)
            return [pool.submit(index.search, queries[at : at + PART], LIMIT) for at in parts]

        landed(begin() + begin())  # pages are mapped before the clock starts
        began, done, ahead = time.perf_counter(), 0, begin()
        while time.perf_counter() - began < seconds:
            before, ahead = ahead, begin()
            landed(before)
            done += BATCH
        spent = time.perf_counter() - began
        landed(ahead)
        return done / spent


def landed(searches: list[Future[Any]]) -> None:
    """Wait for them; raises what a search raised."""
    for search in searches:
        search.result()
