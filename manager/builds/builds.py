"""Runs the builds of the tasks that are due, several at once, for as long as this manager leads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from configs.settings import Settings
from manager.builds.attempt import Attempt
from manager.builds.crew import Crew
from manager.builds.terms import terms
from manager.builds.wire import Ended
from manager.errors import NoSuchTask, TaskOver, Unavailable
from manager.matchers import Matchers
from manager.tasks.task import Task
from manager.tasks.tasks import Tasks
from pipeline.indexer.errors import PROCESS_DIED

logger = logging.getLogger(__name__)


class Builds:
    """Takes over what an earlier leader was building, then claims what is due, oldest first."""

    def __init__(self, settings: Settings, tasks: Tasks, matchers: Matchers, origin: str) -> None:
        """`origin` is the address of this manager."""
        self._settings, self._tasks, self._matchers = settings, tasks, matchers
        scheduler = settings.dask.scheduler
        self._indexer = scheduler if scheduler not in ("", "serial") else origin

    async def run(self, fence: int, remaining: Callable[[], float]) -> None:
        """For ever; cancelled, it ends all builds, which the next leader continues.

        `remaining` tells for how many seconds we certainly lead: drivers work no longer than that, whatever
        becomes of this process.  Raises StaleLeader when a newer leader was met.
        """
        try:
            async with Crew(self._settings, remaining).working() as crew, asyncio.TaskGroup() as group:
                await self._lead(fence, crew, group)
        except ExceptionGroup as failed:  # not `except*`, which would wrap again what is raised in it
            raise failed.exceptions[0] from None  # the first one; the others were cancelled or fell with it

    async def _lead(self, fence: int, crew: Crew, group: asyncio.TaskGroup) -> None:
        section, running = self._settings.manager, set[asyncio.Task[None]]()
        left: list[Task] | None = None
        while True:
            try:
                if left is None:
                    left = await self._adopted(fence)
                await self._drop(left, fence)
                while len(running) < section.builds_at_once and (task := await self._next(fence, left)):
                    running.add(build := group.create_task(self._build(crew, task, fence), name=task.task_id))
                    build.add_done_callback(running.discard)
            except Unavailable as error:
                logger.warning("No build is begun: %s.", error)
            if running:
                await asyncio.wait(running, timeout=section.lookup_period_s, return_when="FIRST_COMPLETED")
            else:
                await asyncio.sleep(section.lookup_period_s)

    async def _adopted(self, fence: int) -> list[Task]:
        """What earlier leaders were building, oldest first."""
        found = sorted(await self._tasks.adopt(fence), key=lambda task: (task.created, task.task_id))
        for task in found:
            logger.info("Taking over %s of %s from an earlier leader.", task.task_id, task.label)
        return found

    async def _drop(self, left: list[Task], fence: int) -> None:
        """Of what was taken over and waits for its turn: end what somebody asked to end, or what was forgotten."""
        for task in tuple(left):
            try:
                if await self._tasks.progress(task.task_id, fence, {}):
                    await self._tasks.cancelled(task.task_id, fence)
                    left.remove(task)
            except (TaskOver, NoSuchTask):
                left.remove(task)

    async def _next(self, fence: int, left: list[Task]) -> Task | None:
        return left.pop(0) if left else await self._tasks.claim(fence, self._indexer)

    async def _build(self, crew: Crew, task: Task, fence: int) -> None:
        attempt = Attempt(task, fence, self._tasks, self._settings.manager, lambda: terms(self._matchers, fence))
        try:
            async with crew.driver() as driver:
                await attempt.run(driver)
        except OSError as error:
            await attempt.move(Ended(PROCESS_DIED, f"no process could be started for it: {error}", again=True))
