"""The manager: its parts, what it does always, what it does while it leads, its end."""

from __future__ import annotations

import asyncio
import logging
import time

from configs.settings import Settings
from manager.connecting import connect, url_of
from manager.health import Health
from manager.leading.lease import Lease
from manager.leading.work import work
from manager.matchers import Matchers
from manager.parts import Parts
from manager.shelf.shelf import Shelf
from manager.tasks.tasks import Tasks
from pipeline.artifact import Store

logger = logging.getLogger(__name__)


class Service:
    """One manager; `run` ends after `stopping` is set."""

    def __init__(self, settings: Settings, origin: str, store: Store) -> None:
        """Connects to nothing yet.  Raises ConfigError for addresses that are none."""
        section, url = settings.manager, url_of(settings)
        self.stopping = asyncio.Event()
        self._tasks, self._leases = connect(url), connect(url, tries=0)
        self._matchers = connect(settings.redis.url, text=False, tries=1)
        lease = Lease(self._leases, store, section, origin)
        matchers = Matchers(self._matchers)
        shelf = Shelf(store, matchers, section.poll_s)
        self.parts = Parts(
            settings=settings, origin=origin, store=store, redis=self._tasks, tasks=Tasks(self._tasks, section),
            matchers=matchers, shelf=shelf, lease=lease, health=Health(settings, lease, shelf),
        )  # fmt: skip
        self._work = work(self.parts)

    async def run(self) -> None:
        """Serve until `stopping`, then leave in order, within `manager.shutdown_s`."""
        parts = self.parts
        doing = {
            asyncio.create_task(parts.shelf.run(), name="shelf"),
            asyncio.create_task(parts.health.run(), name="health"),
            asyncio.create_task(parts.lease.hold(self._lead), name="lease"),
        }
        stopped = asyncio.create_task(self.stopping.wait(), name="stopping")
        try:
            await asyncio.wait({stopped, *doing}, return_when=asyncio.FIRST_COMPLETED)
            for task in doing:
                if task.done():
                    await task  # only a mistake of ours ends it before the service
        finally:
            stopped.cancel()
            await self._leave(doing)

    async def _lead(self, fence: int) -> None:
        """What only the leader does, until it is cancelled; what fails ends all of it, what has nothing to do may return."""
        try:
            async with asyncio.TaskGroup() as group:
                for run in self._work:
                    group.create_task(run(fence))
                await asyncio.Event().wait()
        except* Exception as failed:
            raise failed.exceptions[0] from None  # the first one; the others were cancelled or fell with it

    async def _leave(self, doing: set[asyncio.Task[None]]) -> None:
        """End what is led, give the lease back, then all else."""
        began = time.monotonic()
        self.parts.health.stopping = True
        for task in doing:
            task.cancel()
        _, left = await asyncio.wait(doing, timeout=self.parts.settings.manager.shutdown_s)
        for task in left:
            logger.warning(
                "%s did not end in time; another manager takes over when the lease has lapsed.", task.get_name()
            )
        for redis in (self._tasks, self._leases, self._matchers):
            await redis.aclose()
        logger.info("Stopped after %.1f s.", time.monotonic() - began)
