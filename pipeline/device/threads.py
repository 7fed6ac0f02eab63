"""How many native threads the numeric libraries may use.

OpenMP's thread count is a setting of each calling thread, so a pool that wants one native
thread per task sets it inside the task; settings made in the main thread do not reach it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import faiss
from threadpoolctl import threadpool_limits


def set_threads(count: int) -> None:
    """Let faiss use `count` OpenMP threads for calls made from this thread."""
    faiss.omp_set_num_threads(count)


@contextmanager
def pinned(count: int) -> Iterator[None]:
    """Hold faiss and BLAS to `count` threads inside the block: a build's bytes depend on it.

    Sums of floats depend on how a product is split over threads, so the build's spec states
    the number and every task keeps to it.
    """
    before = faiss.omp_get_max_threads()
    with threadpool_limits(limits=count):
        faiss.omp_set_num_threads(count)
        try:
            yield
        finally:
            faiss.omp_set_num_threads(before)
