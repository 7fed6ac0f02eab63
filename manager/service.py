"""The manager: its parts, what it does always, what it does while it leads, its end."""

from __future__ import annotations

import asyncio
import logging
import time

from configs.settings import Settings
from manager.connecting import connect, url_of
from manager.health import Health
from manager.leading.ending import ended, together
from manager.leading.lease import Lease
from manager.leading.work import work
from manager.matchers import Matchers
from manager.pages.access import Access
from manager.parts import Parts
from manager.shelf.shelf import Shelf
from manager.tasks.tasks import Tasks
from pipeline.artifact import Store

logger = logging.getLogger(__name__)


class Service:
    """One manager; `run` ends after `parts.stopping` is set."""

    def __init__(self, settings: Settings, origin: str, store: Store) -> None:
        """Connects to nothing yet.  Raises ConfigError for addresses that are none, LimError for tokens that cannot be."""
        section, url = settings.manager, url_of(settings)
        self._tasks, self._leases = connect(url), connect(url, tries=0)
        self._matchers = connect(settings.redis.url, text=False, tries=1)
        lease = Lease(self._leases, store, section, origin)
        matchers = Matchers(self._matchers)
        shelf = Shelf(store, matchers, section.poll_s)
        self.parts = Parts(
            settings=settings, origin=origin, store=store, redis=self._tasks, tasks=Tasks(self._tasks, section),
            matchers=matchers, shelf=shelf, lease=lease, health=Health(settings, lease, shelf),
            access=Access(settings.http.token, settings.http.read_token),
        )  # fmt: skip
        self._work = work(self.parts)

    async def run(self) -> None:
        """Serve until `parts.stopping`, then leave in order, within `manager.shutdown_s`."""
        parts = self.parts
        doing = {
            asyncio.create_task(parts.shelf.run(), name="shelf"),
            asyncio.create_task(parts.health.run(), name="health"),
            asyncio.create_task(parts.lease.hold(self._lead), name="lease"),
        }
        stopped = asyncio.create_task(parts.stopping.wait(), name="stopping")
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
        await together(*(run(fence) for run in self._work), _for_ever())

    async def _leave(self, doing: set[asyncio.Task[None]]) -> None:
        """End what is led, give the lease back, then all else."""
        began = time.monotonic()
        left = await ended(doing, limit_s=self.parts.settings.manager.shutdown_s)
        for task in left:
            logger.warning("The task %r has not ended in time; the lease lapses by itself.", task.get_name())
        for redis in (self._tasks, self._leases, self._matchers):
            await redis.aclose()
        logger.info("Stopped after %.1f s.", time.monotonic() - began)


async def _for_ever() -> None:
    await asyncio.Event().wait()
