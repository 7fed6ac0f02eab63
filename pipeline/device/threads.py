"""How many native threads the numeric libraries may use.

OpenMP's thread count is a setting of each calling thread, so a pool that wants one native
thread per task sets it inside the task; settings made in the main thread do not reach it.
BLAS has one count for the whole process, which tasks in several threads therefore share.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import faiss
from threadpoolctl import OpenBLASController, ThreadpoolController


def set_threads(count: int) -> None:
    """Let faiss use `count` OpenMP threads for calls made from this thread."""
    faiss.omp_set_num_threads(count)


@contextmanager
def pinned(count: int) -> Iterator[None]:
    """Hold faiss and BLAS to `count` threads inside the block: a build's bytes depend on it.

    Sums of floats depend on how a product is split over threads, so the build's spec states
    the number and every task keeps to it.  Any number of threads may be inside with the same count;
    one that asks for another waits until they have left.  ValueError for another count inside a block
    of the same thread, which would wait for itself.
    """
    before = faiss.omp_get_max_threads()
    with _blas.held(count), _only("openmp", count):
        faiss.omp_set_num_threads(count)
        try:
            yield
        finally:
            faiss.omp_set_num_threads(before)


def _only(kind: str, count: int) -> Any:
    """Limits of one kind of library; those of `threadpool_limits` put back every kind, whoever set it meanwhile."""
    return ThreadpoolController().select(user_api=kind).limit(limits=count)


def _take_control() -> None:
    """Newer threadpoolctl lets only the thread that came first set the count of BLAS, and says nothing to others."""
    if hasattr(OpenBLASController, "clear_controlling_thread"):
        OpenBLASController.clear_controlling_thread(force=True)


class _Blas:
    """The process-wide count of BLAS: set by the first that comes, put back by the last that leaves."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: list[int] = []
        """Which threads are inside, by their numbers."""
        self._count = 0
        self._limits: Any = None

    @contextmanager
    def held(self, count: int) -> Iterator[None]:
        """Inside, BLAS has `count` threads."""
        me = threading.get_ident()
        with self._changed:
            if me in self._inside and count != self._count:
                raise ValueError(f"threads: expected {self._count} as in the block around this one, got {count}")
            self._changed.wait_for(lambda: not self._inside or self._count == count)
            if not self._inside:
                _take_control()
                self._limits, self._count = _only("blas", count), count
            self._inside.append(me)
        try:
            yield
        finally:
            with self._changed:
                self._inside.remove(me)
                if not self._inside:
                    _take_control()
                    self._limits.restore_original_limits()
                self._changed.notify_all()


_blas = _Blas()
