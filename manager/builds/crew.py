"""The drivers of a leader: kept from build to build, told of the lease, ended with the lead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from configs.settings import Settings
from manager.builds.process import Driver
from manager.builds.wire import Lease
from manager.leading.lease import now

RENEWALS = 10
"""How often in the life of a lease drivers are told of it."""


class Crew:
    """As many drivers as builds run at the same time; each is started when there is first something to do for it."""

    def __init__(self, settings: Settings, remaining: Callable[[], float]) -> None:
        """`remaining` tells for how many seconds we certainly lead."""
        self._settings, self._remaining = settings, remaining
        self._free: list[Driver] = []
        self._all: list[Driver] = []

    @asynccontextmanager
    async def working(self) -> AsyncIterator[Crew]:
        """Inside, drivers are told of the lease; all end with the block, at once."""
        renewing = asyncio.create_task(self._renew(), name="drivers' lease")
        try:
            yield self
        finally:
            renewing.cancel()
            drivers, self._free, self._all = self._all, [], []
            for driver in drivers:
                driver.kill()
            await asyncio.gather(*(driver.end() for driver in drivers))

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[Driver]:
        """One that nobody else has; left alone when the block ends as it should, ended when by an exception.

        Raises OSError when none can be started.
        """
        driver = next((one for one in self._free if one.alive), None) or await self._start()
        self._free = [one for one in self._free if one is not driver]
        try:
            yield driver
        except BaseException:
            driver.kill()
            raise
        finally:
            if driver.alive:
                self._free.append(driver)

    async def _start(self) -> Driver:
        self._all = [one for one in self._all if one.alive]
        driver = await Driver.start(self._settings, self._lease())
        self._all.append(driver)
        return driver

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._settings.manager.lease_s / RENEWALS)
            lease = self._lease()
            for driver in self._all:
                driver.say(lease)

    def _lease(self) -> Lease:
        return Lease(now() + self._remaining())
