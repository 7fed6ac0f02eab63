"""Follows builds on a scheduler: what their commands tell, clients that leave, the scheduler's own end."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from distributed import Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin

from pipeline.graph import TOPIC
from pipeline.pages.history import BuildOf, History


class Following(SchedulerPlugin):  # type: ignore[misc]
    """Keeps a history of builds up to date; runs on the scheduler's event loop, so it does nothing that waits."""

    name = "lim-builds"

    def __init__(
        self,
        scheduler: Scheduler,
        history: History,
        changed: Callable[[BuildOf], None],
        closing: Callable[[], Awaitable[None]],
    ) -> None:
        self._scheduler, self._history, self._changed, self._closing = scheduler, history, changed, closing

    def replay(self) -> None:
        """Take in what was told before this was added, as far as the scheduler kept it."""
        for when, message in self._scheduler.get_events(TOPIC):
            self._take(message, when)

    def log_event(self, topic: str, msg: Any) -> None:
        """Somebody told something."""
        if topic == TOPIC:
            self._take(msg, time.time())

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """A client left."""
        for build in self._history.gone(client, time.time()):
            self._changed(build)

    def _take(self, message: Any, when: float) -> None:
        build = self._history.heard(message, when)
        if build is None:
            return
        if message["event"] in ("began", "published", "failed"):
            self._changed(build)
        if build.client not in self._scheduler.clients:  # its last words came after it was gone
            self.remove_client(self._scheduler, build.client)

    async def before_close(self) -> None:
        """The scheduler ends."""
        await self._closing()
