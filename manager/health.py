"""Whether a manager is of full use: Redis, the bucket, a leader."""

from __future__ import annotations

import asyncio
import time

from configs.settings import Settings
from manager.connecting import url_of
from manager.leading.lease import LOST, Lease
from manager.shelf.shelf import Shelf

LOOK_S = 1.0
"""Seconds between looks."""

PATIENCE = 2.0
"""Leases that may pass without a leader: within them another takes over."""


class Health:
    """Looks now and again, so that a question never waits for what does not answer."""

    def __init__(self, settings: Settings, lease: Lease, shelf: Shelf) -> None:
        self._lease, self._shelf = lease, shelf
        self._url, self._patience_s = url_of(settings), PATIENCE * settings.manager.lease_s
        self._redis_problem = ""
        self._led = time.monotonic()
        self.leader = ""
        """Address of who leads; empty = nobody, or unknown."""

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Ask Redis who leads."""
        try:
            async with asyncio.timeout(LOOK_S):
                self.leader = await self._lease.leader()
            self._redis_problem = ""
        except LOST as error:
            self.leader, self._redis_problem = "", f"{type(error).__name__} {error}".strip()
        if self.leader:
            self._led = time.monotonic()

    def problems(self) -> list[str]:
        """Why it cannot do its work now; empty when it can."""
        found = []
        if self._redis_problem:
            found.append(f"the Redis of the tasks does not answer ({self._redis_problem}): is it running?")
        if self._shelf.unreachable:
            found.append(f"the bucket cannot be read: {self._shelf.unreachable}")
        return found

    def alarms(self) -> list[str]:
        """What a person should look at although requests are answered."""
        if self.problems() or self.leader or time.monotonic() - self._led < self._patience_s:
            return []
        return [
            f"no manager has led for {time.monotonic() - self._led:.0f} s, so nothing is built: the managers' logs say why "
            "(can they write to the bucket?)"
        ]
