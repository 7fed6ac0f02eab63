"""Calls the published index without anything around it: what the wire is compared with."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

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
    """Requests a second in batches of 256 over all cores: an equal part of the batch for each core.

    That is how the matcher searches, and faster than one call that shares its batch between OpenMP threads.
    """
    threads = os.cpu_count() or 1
    part = max(BATCH // threads, 1)
    queries = np.ascontiguousarray(np.resize(probes, (max(len(probes), BATCH), probes.shape[1])))
    starts = list(range(0, len(queries) - BATCH + 1, BATCH))
    with ThreadPoolExecutor(threads, "direct", initializer=set_threads, initargs=(1,)) as pool:

        def batch(start: int) -> None:
            parts = range(start, start + BATCH, part)
            list(pool.map(lambda at: index.search(queries[at : at + part], LIMIT), parts))

        for start in starts[:4]:  # pages are mapped before the clock starts
            batch(start)
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            batch(starts[done % len(starts)])
            done += 1
        return done * BATCH / (time.perf_counter() - began)
