"""Waiting for something to become true, and no longer."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(predicate: Callable[[], object], *, timeout_s: float = 10.0, what: str = "it") -> None:
    """Return once `predicate` is true; AssertionError that says what did not happen otherwise."""
    until = time.monotonic() + timeout_s
    while not predicate():
        assert time.monotonic() < until, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.01)
