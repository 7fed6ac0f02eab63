"""Has drawn requests compared with exact search while there is nothing else to do."""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import Any

import msgpack

from matcher.beside import LENGTH, frame, work_of
from matcher.drawing import Drawer
from matcher.held import Held
from matcher.recall import Drawn, depth_of

logger = logging.getLogger(__name__)

LOOK_S = 0.05
"""Seconds between looks at whether there is something to compare, or time for it."""

REST = 199
"""Times as long as it worked it rests: of a two-hundredth of one core fewer requests take notice than the hundredth that
a 99th percentile is about.  What was drawn meanwhile is compared together, at little more than the cost of one."""

BROKEN_S = 60.0
"""Seconds until a process that died is started again."""


class Comparer:
    """One index after the other, in a process of the lowest priority that stops between two blocks of rows."""

    def __init__(self, drawer: Drawer, margin: float, current: Callable[[Held], bool]) -> None:
        """`current` says whether an index still serves."""
        self._drawer = drawer
        self._margin = margin
        self._current = current
        self._shared = os.memfd_create("lim-busy")
        os.ftruncate(self._shared, 1)
        self._busy = mmap.mmap(self._shared, 1)
        self._process: Process | None = None
        self._rested_at = 0.0
        self.cpu_seconds = 0.0

    def hold(self, busy: bool) -> None:
        """Say whether the matcher has something to do; until it has not, no further block is compared."""
        self._busy[0] = busy

    async def turn(self) -> None:
        """Have compared what one index has waiting, if there is anything, and the time."""
        if time.monotonic() < self._rested_at or self._busy[0] or (found := self._drawer.longest_waiting()) is None:
            return
        held, drawn = found
        if not self._current(held):
            return
        try:
            answer = await self._answer(held, drawn)
        except (OSError, EOFError) as error:
            self._rested_at = time.monotonic() + BROKEN_S
            await self._end()
            logger.warning("The process that compares live requests died (%r); again in %.0f s.", error, BROKEN_S)
            return
        self.cpu_seconds += answer["cpu_s"]
        self._rested_at = time.monotonic() + REST * answer["cpu_s"]
        if not self._current(held):
            return
        if "error" in answer:
            logger.warning("%s: live requests are not compared: %s.", held.name, answer["error"])
        elif held.live.add([(recall, first) for recall, first in answer["results"]], self._margin):
            self._tell(held)

    async def _answer(self, held: Held, drawn: list[Drawn]) -> dict[str, Any]:
        """What the process says, started when there is none.  Raises OSError or EOFError when it dies."""
        if self._process is None:
            command = (sys.executable, "-m", "matcher.beside", str(self._shared))
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, pass_fds=(self._shared,)
            )
        source, target = self._process.stdout, self._process.stdin
        if source is None or target is None:
            raise OSError("expected pipes to the process, got none")
        target.write(frame(work_of(held.folder / "vectors.dat", held.index.rows, drawn)))
        await target.drain()
        (length,) = LENGTH.unpack(await source.readexactly(LENGTH.size))
        return msgpack.unpackb(await source.readexactly(length))  # type: ignore[no-any-return]

    def _tell(self, held: Held) -> None:
        live = held.live
        said = (
            f"{len(live.recalls)} live requests have a recall@{depth_of(held.shards)} of {live.recall:.3f}, at most {live.bound:.3f}; "
            f"the build measured {live.expected:.3f}, and {self._margin:g} less is allowed"
        )
        if live.alarm:
            logger.warning("%s: drift: %s: rebuild from today's descriptors.", held.name, said)
        else:
            logger.info("%s: drift is over: %s.", held.name, said)

    async def _end(self) -> None:
        """End the process, which has nothing to lose."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.communicate()  # reads and closes the pipes, waits for the end

    async def close(self) -> None:
        """End the process for good."""
        await self._end()
        self._busy.close()
        os.close(self._shared)
