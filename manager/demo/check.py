"""Compares streamed answers with exact search, and times the same index without Redis."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.settings import Storage
from manager.demo.plan import LABEL
from manager.embedded.stack import Stack
from pipeline.artifact import Cache, open_store, read_head, read_manifest
from pipeline.device.cpu import Cpu
from pipeline.device.threads import set_threads
from pipeline.search.index import Index
from pipeline.search.opening import open_index

BATCH = 256


@dataclass(frozen=True, slots=True)
class Checked:
    """What the comparison found."""

    probes: int
    recall_at_10: float
    """Share of the ten nearest rows of exact search that were answered, rows of equal similarity counting as one."""
    largest_error: float
    """Largest difference of an answered similarity to the exact one of the same row's rank."""


def open_published(stack: Stack, folder: Path) -> Index:
    """The published index, opened as the matcher opens it."""
    store = open_store(stack.bucket, Storage(endpoint_url=stack.endpoint_url))
    head, _ = read_head(store, LABEL)
    manifest = read_manifest(store, LABEL, head.index_id)
    return open_index(Cache(folder, 1 << 40).fetch(store, manifest), manifest)


def compare(
    answers: Path, probes: NDArray[np.float32], rows: NDArray[np.float16], ids: list[str], count: int
) -> Checked:
    """The first `count` streamed answers beside exact search over the source rows (n, dim) with their ids."""
    with np.load(answers) as arrays:
        asked, found, similarities = (arrays[name][:count] for name in ("probe", "ids", "similarities"))
    queries = probes[asked % len(probes)]
    queries = np.ascontiguousarray(queries / np.linalg.norm(queries, axis=1, keepdims=True), np.float32)
    depth = min(10, similarities.shape[1], len(rows))
    exact, numbers = Cpu().knn(queries, rows.astype(np.float32), depth)
    names = np.array(ids, dtype=str)[numbers]
    same = (names[:, :, None] == found[:, None, :depth]).any(axis=2)
    # another row of the same similarity is as good an answer
    tied = exact <= similarities[:, depth - 1 : depth] + 1e-6
    hits = (same | tied) & (exact >= -1)
    return Checked(
        len(asked), float(hits.mean()), float(np.abs(similarities[:, :1] - np.clip(exact[:, :1], 0, 1)).max())
    )


def direct_per_s(index: Index, probes: NDArray[np.float32], seconds: float = 2.0) -> float:
    """Requests a second when the loaded index is called in batches of 256 on all cores, with nothing around it."""
    threads = os.cpu_count() or 1
    tile = BATCH // threads

    def batch(start: int) -> None:
        index.search(np.ascontiguousarray(probes[start : start + tile]), 10)

    starts = list(range(0, max(len(probes) - tile, 1), tile))
    with ThreadPoolExecutor(threads, initializer=set_threads, initargs=(1,)) as pool:
        list(pool.map(batch, starts[: 4 * threads]))
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            list(pool.map(batch, starts[: 8 * threads]))
            done += min(8 * threads, len(starts)) * min(tile, len(probes))
        return done / (time.perf_counter() - began)
