"""Submitted builds: a line of those that wait, and a process for each that runs."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import time
import uuid
from collections.abc import Callable
from contextlib import suppress

from configs.hiding import without_password
from configs.settings import Pages
from pipeline.errors import BuildError
from pipeline.pages.commands import command
from pipeline.pages.history import CONTINUES, BuildOf, History
from pipeline.pages.kept import Kept
from pipeline.pages.orders import Ordered

logger = logging.getLogger(__name__)

GRACE_S = 10.0
"""Between SIGTERM and SIGKILL."""


class TooMany(BuildError):
    """The line is full."""


class UnderWay(BuildError):
    """The same order waits or runs already; `run` is its build."""

    def __init__(self, run: str) -> None:
        super().__init__("the same build was submitted already and is not done: follow that one, or cancel it first")
        self.run = run


class Children:
    """Lives on the scheduler's event loop, which starts processes and is told of their end; it never waits for one."""

    def __init__(self, limits: Pages, kept: Kept, history: History, address: Callable[[], str]) -> None:
        self._limits, self._kept, self._history, self._address = limits, kept, history, address
        self._orders: dict[str, Ordered] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    @property
    def waiting(self) -> list[str]:
        """Runs that wait, the next one first."""
        return [run for run in self._orders if run not in self._tasks]

    def submit(self, ordered: Ordered) -> BuildOf:
        """Take an order; it starts as soon as there is room.  Raises UnderWay or TooMany."""
        for run, other in self._orders.items():
            if (other.order, other.settings) == (ordered.order, ordered.settings):
                raise UnderWay(run)
        if len(self.waiting) >= self._limits.waiting:
            raise TooMany(f"{len(self.waiting)} builds are waiting, which is the most (pages.waiting): submit it later")
        order = ordered.order
        build = self._history.add(BuildOf(
            uuid.uuid4().hex, order.label, without_password(order.source), "queued", order=ordered.fields, submitted=time.time(),
        ))  # fmt: skip
        self._orders[build.run] = ordered
        self._next()
        return build

    def cancel(self, build: BuildOf) -> bool:
        """Take it out of the line, or end its process; False where it is not one of these, or over."""
        if build.run not in self._orders:
            return False
        build.end("cancelled", time.time(), "cancelled on this page; submitting it again continues where it stopped")
        process = self._processes.get(build.run)
        if process is not None:
            _signal(process, signal.SIGTERM)
            asyncio.get_running_loop().call_later(GRACE_S, _signal, process, signal.SIGKILL)
        elif build.run not in self._tasks:
            self._over(build)
        return True

    async def close(self) -> None:
        """End everything, as the scheduler ends."""
        for run in list(self._orders):
            build = self._history.get(run)
            if build is not None:
                build.end("stopped", time.time(), f"the scheduler ended before it was done: {CONTINUES}")
        tasks = list(self._tasks.values())
        self._orders.clear()
        for process in self._processes.values():
            _signal(process, signal.SIGKILL)  # nothing is lost by it, and the scheduler is not kept
        await asyncio.gather(*tasks, return_exceptions=True)
        self._kept.save(reversed(list(self._history)))
        self._kept.close()

    def _next(self) -> None:
        while self.waiting and len(self._tasks) < self._limits.at_once:
            run = self.waiting[0]
            self._tasks[run] = asyncio.get_running_loop().create_task(self._run(run, self._orders[run]))
        self._kept.save(reversed(list(self._history)))

    async def _run(self, run: str, ordered: Ordered) -> None:
        build = self._history.get(run)
        if build is None:  # the oldest of very many
            build = self._history.add(BuildOf(run, ordered.order.label, order=ordered.fields))
        build.state, build.began = "starting", time.time()
        try:
            await self._follow(build, command(ordered, run, self._address(), self._kept.figures(run)))
        except OSError as error:
            build.end(
                "failed",
                time.time(),
                f"{error.filename or 'lim'}: expected to start its command and to read what it left, got: {error.strerror}",
            )
        finally:
            self._over(build)

    async def _follow(self, build: BuildOf, line: list[str]) -> None:
        with self._kept.log(build.run).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *line, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._processes[build.run] = process
        if not build.is_open:  # cancelled meanwhile
            _signal(process, signal.SIGKILL)
        code = await process.wait()
        logger.info("Build %s of %s ended with %d.", build.run, build.label, code)
        if code:
            build.end("failed", time.time(), self._why(build.run, code))
        else:
            self._done(build)

    def _done(self, build: BuildOf) -> None:
        figures = json.loads(self._kept.figures(build.run).read_text())
        build.index_id, build.rows, build.report = figures["index_id"], figures["rows"], figures["report"]
        build.end("published", time.time())

    def _why(self, run: str, code: int) -> str:
        """The command's own error, which says what to do; or what its end looks like."""
        lines = self._kept.tail(run).splitlines() or [""]
        said = [at for at, line in enumerate(lines) if line.startswith("error: ")]
        if said and code > 0:
            return "\n".join(lines[said[-1] :]).removeprefix("error: ").strip()
        if code == -signal.SIGKILL:
            return f"its command was killed (out of memory?): {CONTINUES}"
        how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        return f"its command {how}, and its last words were {lines[-1]!r}: look at its log, then {CONTINUES}"

    def _over(self, build: BuildOf) -> None:
        for found in (self._orders, self._tasks, self._processes):
            found.pop(build.run, None)
        self._next()


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it ended a moment ago
            os.killpg(process.pid, number)
