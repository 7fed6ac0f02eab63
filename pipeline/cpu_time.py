"""Counts the CPU seconds of a process by the items that it did."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Spent:
    """CPU time of the process, dealt out to items as they end.

    An item gets what the process spent since the item before it ended: with one item at a time its own, with
    several threads some of its neighbours' as well.  The sum is right either way, native threads, input and output
    included, which the clocks of single threads would miss.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._dealt = 0.0

    @contextmanager
    def counted(self) -> Iterator[Callable[[], float]]:
        """While inside, the value is what deals out the seconds spent since the last call, by whichever thread."""
        with self._lock:
            if self._inside == 0:
                self._dealt = time.process_time()  # what an idle process spends is nobody's
            self._inside += 1
        try:
            yield self._deal
        finally:
            with self._lock:
                self._inside -= 1

    def _deal(self) -> float:
        with self._lock:
            now = time.process_time()
            seconds, self._dealt = now - self._dealt, now
            return seconds


SPENT = Spent()
"""The one of this process."""
