"""Chunks of made-up descriptors, made by several threads at once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from pipeline.generate.faces import CHUNK, Faces, Generator
from pipeline.generate.regimes import GenerateError

Numbers = NDArray[np.int64]


def gallery(generator: Generator, rows: int, *, threads: int = 0) -> Iterator[Faces]:
    """Photo 0 of people [0, rows), in order; memory does not grow with rows.  `threads` 0 = all cores."""
    yield from made(
        generator, [np.arange(start, min(start + CHUNK, rows)) for start in range(0, rows, CHUNK)], 0, threads
    )


def probes(generator: Generator, rows: int, count: int, *, threads: int = 0) -> Iterator[Faces]:
    """Photo 1 of `count` people out of the first `rows`, chosen by the seed, in ascending order.

    Raises GenerateError when there are not that many.
    """
    if count > rows:
        raise GenerateError(f"--probes: expected at most one probe for each of the {rows} people, got {count}")
    random = np.random.default_rng(np.random.SeedSequence(generator.seed, spawn_key=(rows, count)))
    people = np.sort(random.choice(rows, count, replace=False))
    # Probes lie thinly: a chunk of them costs as much as all the people around them.
    size = CHUNK // 5
    yield from made(generator, [people[start : start + size] for start in range(0, count, size)], 1, threads)


def made(generator: Generator, wanted: list[Numbers], photo: int, threads: int) -> Iterator[Faces]:
    """A photo of each of the wanted people, chunk after chunk, as many chunks ahead as there are threads."""
    threads = threads or os.cpu_count() or 1
    with ThreadPoolExecutor(threads, "generate") as pool:
        ahead: deque[Future[Faces]] = deque()
        try:
            for people in wanted:
                ahead.append(pool.submit(generator.photos, people, photo))
                if len(ahead) > threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
