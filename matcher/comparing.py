"""Compares drawn requests with exact search while there is nothing else to do."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from matcher.drawing import Drawer
from matcher.recall import RECALL_AT, Drawn, Results, judged
from matcher.residency import Held
from pipeline.artifact import ArtifactError
from pipeline.device.threads import set_threads
from pipeline.search.comparison import Comparison

logger = logging.getLogger(__name__)

LOOK_S = 0.05
"""Seconds between looks at whether there is something to compare, or time for it."""

REST = 9
"""Times as long as it worked it rests: a tenth of one core is the most that watching may cost."""

WAIT_S = 0.02
"""Seconds between looks at whether a comparison that stopped for a request may go on."""

GO_S = 0.25
"""A thread comes back at least this often, to hear that its index has been dropped."""


class Comparer:
    """One index after the other, in one thread of the lowest priority that stops between two blocks of rows."""

    def __init__(
        self, drawer: Drawer, margin: float, idle: Callable[[], bool], current: Callable[[Held], bool]
    ) -> None:
        """`idle` says, in any thread, whether nothing is in work or waiting; `current` whether an index still serves."""
        self._drawer = drawer
        self._margin = margin
        self._idle = idle
        self._current = current
        self._pool = ThreadPoolExecutor(1, "compare", initializer=_humble)
        self._rested_at = 0.0
        self.cpu_seconds = 0.0

    async def turn(self) -> None:
        """Compare what one index has waiting, if there is anything, and the time."""
        if time.monotonic() < self._rested_at or not self._idle():
            return
        if (found := self._drawer.longest_waiting()) is None:
            return
        held, drawn = found
        if not self._current(held):
            return
        before = self.cpu_seconds
        try:
            results = await self._compared(held, drawn)
        except (ArtifactError, OSError) as error:
            logger.warning("%s %s: live answers are not compared: %s.", held.label, held.index_id, error)
            return
        finally:
            self._rested_at = time.monotonic() + REST * (self.cpu_seconds - before)
        if results and held.live.add(results, self._margin):
            self._tell(held)

    async def _compared(self, held: Held, drawn: list[Drawn]) -> Results:
        """Empty when the index was dropped, or we stop, before everything was compared."""
        work = _Work(held, drawn)
        try:
            while self._current(held):
                results = await asyncio.get_running_loop().run_in_executor(self._pool, self._go_on, work)
                if results is not None:
                    return results
                await asyncio.sleep(WAIT_S)
            return []
        finally:
            self._pool.submit(work.close)  # there, because a block may still be under way when we are cancelled

    def _go_on(self, work: _Work) -> Results | None:
        """Block after block while nothing else is to be done; the results once all rows have been compared."""
        began, until = time.thread_time(), time.monotonic() + GO_S
        try:
            while self._idle() and time.monotonic() < until:
                if (results := work.step()) is not None:
                    return results
            return None
        finally:
            self.cpu_seconds += time.thread_time() - began

    def _tell(self, held: Held) -> None:
        live = held.live
        said = (
            f"{len(live.recalls)} live requests have a recall@{RECALL_AT} of {live.recall:.3f}, at most {live.bound:.3f}; "
            f"the build measured {live.expected:.3f}, and {self._margin:g} less is allowed"
        )
        if live.alarm:
            logger.warning("%s %s: drift: %s: rebuild from today's descriptors.", held.label, held.index_id, said)
        else:
            logger.info("%s %s: drift is over: %s.", held.label, held.index_id, said)

    def close(self) -> None:
        """Wait for the block in hand."""
        self._pool.shutdown()


class _Work:
    """A comparison under way; all of it belongs to the comparing thread."""

    def __init__(self, held: Held, drawn: list[Drawn]) -> None:
        self._held = held
        self._drawn = drawn
        self._exact: Comparison | None = None

    def step(self) -> Results | None:
        """Compare one block; the results after the last one."""
        if self._exact is None:
            index, queries = self._held.index, np.stack([one.query for one in self._drawn])
            self._exact = Comparison(
                self._held.folder / "vectors.dat", queries, RECALL_AT, rows=index.rows, dim=index.dim
            )
        return None if self._exact.step() else judged(self._drawn, self._exact)

    def close(self) -> None:
        """Let go of the file."""
        if self._exact is not None:
            self._exact.close()


def _humble() -> None:
    """Linux gives each thread a priority of its own."""
    os.setpriority(os.PRIO_PROCESS, 0, 19)
    set_threads(1)
