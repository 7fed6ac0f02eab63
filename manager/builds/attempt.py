"""One attempt at a task: its build is ordered, followed, ended where it must be, and its task moved on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from configs.settings import Manager
from manager.builds.process import Driver
from manager.builds.wire import Ended, Job, Told
from manager.errors import NoSuchTask, StaleLeader, TaskOver, Unavailable
from manager.tasks.task import Task
from manager.tasks.tasks import Tasks
from pipeline.indexer.errors import BUILD_FAILED, CANCELLED
from pipeline.order import Order
from pipeline.spec import Terms

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

EVERY_S = 0.5
"""Least seconds between two notes of how far a build is."""

LONGEST_S = 600.0
"""Longest wait before another attempt."""

MOST_PRIORITY = 100_000
"""Dask's priorities are numbers of 64 bits: see `priority`."""


@dataclass(slots=True)
class Attempt:
    """A build of a task on a driver, under a fence."""

    task: Task
    fence: int
    tasks: Tasks
    section: Manager
    terms: Callable[[], Awaitable[Terms]]
    _told: Told | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _until: float = float("inf")

    async def run(self, driver: Driver) -> None:
        """Build, until the task has moved on.  Raises StaleLeader when another manager leads."""
        if self.section.build_timeout_s:
            self._until = time.monotonic() + self.section.build_timeout_s
        task = self.task
        logger.info(
            "Building %s for %s, attempt %d, in process %d.",
            task.task_id,
            task.label,
            task.attempts,
            driver.process.pid,
        )
        order = Order(task.source, task.label, task.probes, task.task_id)
        driver.say(Job(order, task.options, task.rows, priority(task)))
        hearing = asyncio.create_task(self._hear(driver), name=f"build {task.task_id}")
        try:
            ended = await self._follow(hearing)
            if ended.error_code and not hearing.done():
                driver.kill()
        except (TaskOver, NoSuchTask) as error:
            # Redis forgot that it was claimed, or all of it: whoever claims it next continues from the bucket
            logger.warning("The build of %s is given up: %s.", task.task_id, error)
            driver.kill()
            return
        finally:
            hearing.cancel()
        await self.move(ended)

    async def move(self, ended: Ended) -> None:
        """Let the task follow its build."""
        task, fence, tasks, code = self.task, self.fence, self.tasks, ended.error_code
        logger.info("Building %s for %s ended: %d %s", task.task_id, task.label, code, ended.detail)
        if ended.stale:
            raise StaleLeader(ended.detail)
        again_at = self._again_at() if ended.again else 0.0
        try:
            if not code:
                await self._surely(lambda: tasks.succeed(task.task_id, fence, ended.rows, ended.digest))
            elif code == CANCELLED:
                await self._surely(lambda: tasks.cancelled(task.task_id, fence))
            else:
                await self._surely(lambda: tasks.fail(task.task_id, fence, code, ended.detail, again_at=again_at))
        except (TaskOver, NoSuchTask) as error:
            logger.warning("%s does not know how its build ended: %s.", task.task_id, error)

    def _again_at(self) -> float:
        """When another attempt begins, seconds since 1970; 0 = never."""
        if self.task.attempts >= self.section.attempts:
            return 0.0
        pause: float = self.section.retry_s * 2 ** (self.task.attempts - 1)
        return time.time() + min(LONGEST_S, pause)

    async def _hear(self, driver: Driver) -> Ended:
        """Take its messages until it says, or shows, that the build has ended."""
        while True:
            message = await driver.heard()
            if isinstance(message, Ended):
                return message
            if isinstance(message, Told):
                self._told = message
                self._news.set()
            else:
                driver.say(await self._surely(self.terms))

    async def _follow(self, hearing: asyncio.Task[Ended]) -> Ended:
        """Note how far it is, at most twice a second, until it has ended or is to end."""
        while True:
            left = self._until - time.monotonic()
            news = asyncio.create_task(self._news.wait())
            try:
                await asyncio.wait(
                    {hearing, news},
                    timeout=max(0.0, min(left, self.section.lookup_period_s)),
                    return_when="FIRST_COMPLETED",
                )
            finally:
                news.cancel()
            if hearing.done():
                return hearing.result()
            if time.monotonic() >= self._until:
                return self._too_long()
            self._news.clear()
            if await self._is_unwanted():
                return Ended(CANCELLED)
            await asyncio.wait({hearing}, timeout=EVERY_S)

    async def _is_unwanted(self) -> bool:
        told: dict[str, Any] = asdict(self._told) if self._told else {}
        try:
            return await self.tasks.progress(self.task.task_id, self.fence, told)
        except Unavailable as error:  # it has tried for a while; the lease ends us before long
            logger.warning("How far %s is cannot be noted: %s.", self.task.task_id, error)
            return False

    def _too_long(self) -> Ended:
        return Ended(
            BUILD_FAILED, f"it took longer than manager.build_timeout_s, {self.section.build_timeout_s:g} s: raise that, or give "
            "the cluster more; another attempt continues where it stopped", again=True,
        )  # fmt: skip

    async def _surely(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """What it returns, once Redis answers: until then we may lose the lease, which ends us."""
        while True:
            try:
                return await call()
            except Unavailable as error:
                logger.warning("%s; trying again.", error)
                await asyncio.sleep(self.section.lookup_period_s)


def priority(task: Task) -> int:
    """Of its items on the cluster: those of the task of higher priority first, of equal ones the oldest."""
    rank = max(-MOST_PRIORITY, min(task.priority, MOST_PRIORITY))
    return rank * 10**13 - int(task.created * 1000)
