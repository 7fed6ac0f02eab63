"""Waiting for something to become true, and no longer."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable


def wait_until(predicate: Callable[[], object], *, timeout_s: float = 10.0, what: str = "it") -> None:
    """Return once `predicate` is true; AssertionError that says what did not happen otherwise."""
    until = time.monotonic() + timeout_s
    while not predicate():
        assert time.monotonic() < until, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.01)


async def eventually(
    predicate: Callable[[], object | Awaitable[object]], *, timeout_s: float = 10.0, what: str = "it"
) -> None:
    """The same for tests on an event loop, which goes on meanwhile; `predicate` may be a coroutine function."""
    until = time.monotonic() + timeout_s
    while True:
        found = predicate()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return
        assert time.monotonic() < until, f"{what} did not happen within {timeout_s} s"
        await asyncio.sleep(0.01)
