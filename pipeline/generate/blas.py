"""One BLAS thread for products whose bits must not depend on how many there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = Lock()
_inside: list[Any] = []
"""The limit, once for each block that is running: the first sets it, the last lifts it."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS to one thread while any block, in whichever thread, is running.

    BLAS has one number of threads for the whole process, so blocks that overlap share one limit:
    the end of one must not lift it from under another.
    """
    with _lock:
        _inside.append(_inside[0] if _inside else _limited())
    try:
        yield
    finally:
        with _lock:
            limit = _inside.pop()
            if not _inside:
                _free_control()
                limit.restore_original_limits()
                _free_control()


def _limited() -> Any:
    _free_control()
    return _controller().limit(limits=1, user_api="blas")


def _free_control() -> None:
    """Let this thread set the number: threadpoolctl from 3.8 on ignores, in silence, all but the first that did."""
    for library in _controller().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
