"""The lease of the leader, with a fencing token: whoever holds it works, whoever is not sure of it stops."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from configs.settings import Manager
from manager.errors import StaleLeader
from manager.leading.ending import ended
from manager.leading.lock import Lock
from pipeline.artifact import BUILD, ArtifactError, FenceTooOld, Store, give_fence_back, take_fence

logger = logging.getLogger(__name__)

LOST = (RedisError, OSError)
"""What a Redis that does not answer raises; TimeoutError is an OSError."""

SURE = 0.8
"""Share of the lease, from before its renewal was sent, in which we lead; in the rest our work ends."""

EVERY = 0.2
"""Share of the lease between renewals."""

LOOK = 0.1
"""Share of it between looks whether the lease is free, or between tries of a renewal that failed."""

REST = 0.5
"""Share of it after which we stand again: others first, since what stopped us may be of this machine."""

Work = Callable[[int], Awaitable[None]]


class Lease:
    """At most one manager of a name leads at a time.

    While Redis forgets (wiped, or failed over before a replica had the lease) two may believe it for a moment: their
    fences differ, and the older one neither moves a task nor a head.
    """

    def __init__(self, redis: Redis, store: Store, section: Manager, owner: str) -> None:
        """`redis` repeats nothing by itself; `owner` is what others may see of us, our address."""
        self._store, self._owner, self._lease_s = store, owner, section.lease_s
        self._lock = Lock(redis, section.lock, owner, section.lease_s)
        self._until = 0.0
        self.fence = 0
        """Our token while we lead; 0 = we do not."""

    def remaining(self) -> float:
        """Seconds for which we certainly lead; 0.0 when we do not."""
        return max(0.0, self._until - now()) if self.fence else 0.0

    def leads(self) -> bool:
        """Whether we certainly lead."""
        return self.remaining() > 0

    async def leader(self) -> str:
        """Address of who leads; empty = nobody for now.  Raises what redis-py does."""
        return await self._lock.owner()

    async def hold(self, work: Work) -> None:
        """For ever: wait for the lease, run `work(fence)` while it is held, cancel that when it may be lost.

        Cancelled itself, it ends the work, then releases the lease.
        """
        while True:
            try:
                await self._acquired()
                await self._keep(asyncio.create_task(self._lead(work), name="leading"))
            finally:
                await self._step_down()
            await asyncio.sleep(REST * self._lease_s)

    async def _acquired(self) -> None:
        """Return when the lease is ours."""
        problem = ""
        while True:
            began, before = now(), problem
            try:
                async with asyncio.timeout(EVERY * self._lease_s):
                    held = await self._lock.acquire()
                problem = ""
            except LOST as error:
                held, problem = False, f"{type(error).__name__}: {error}"
            if held:
                self._until = began + SURE * self._lease_s
                return
            if problem and problem != before:
                logger.warning("Nobody can lead: the Redis of the leases does not answer (%s).", problem)
            await asyncio.sleep(LOOK * self._lease_s)

    async def _lead(self, work: Work) -> None:
        fence = await self._take()
        if fence and await self._lock.renew(fence) and self._sure():
            self.fence = fence
            logger.info("%s leads with fence %d.", self._owner, fence)
            await work(fence)
        elif fence:
            await asyncio.to_thread(give_fence_back, self._store, BUILD, fence)

    async def _take(self) -> int:
        """A fence above all others; 0 when the lease may have been lost meanwhile."""
        fence = await asyncio.to_thread(self._take_now, await self._lock.highest())
        return fence if self._sure() else 0

    def _take_now(self, above: int) -> int:
        fence = take_fence(self._store, BUILD, above, owner=self._owner)
        if not self._sure():  # a token that nobody uses would be in the way of the next leader's
            give_fence_back(self._store, BUILD, fence)
        return fence

    async def _keep(self, task: asyncio.Task[None]) -> None:
        """Renew the lease until the task has ended; end it when we are not sure of the lease any more."""
        renewing = asyncio.create_task(self._renew(), name="renewing")
        try:
            while self._sure() and not (task.done() or renewing.done()):
                left = self._until - now()
                await asyncio.wait({task, renewing}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                why = "another has it, or a newer fence" if renewing.done() else "it could not be renewed in time"
                logger.warning("The lease is lost, %s: what the leader did is stopped.", why)
        finally:
            try:
                await ended([renewing, task], LOOK * self._lease_s)
            finally:
                self._say(task)

    async def _renew(self) -> None:
        """Renew the lease now and again; returns when it is lost."""
        pause = EVERY
        while True:
            await asyncio.sleep(pause * self._lease_s)
            began = now()
            try:
                async with asyncio.timeout(EVERY * self._lease_s):
                    held = await self._lock.renew(self.fence)
            except LOST as error:
                logger.warning("The lease is not renewed yet (%s).", f"{type(error).__name__} {error}".strip())
                pause = LOOK
                continue
            if not held:
                return
            self._until, pause = began + SURE * self._lease_s, EVERY

    def _sure(self) -> bool:
        return now() < self._until

    @staticmethod
    def _say(task: asyncio.Task[None]) -> None:
        """Why what the leader did has ended, unless it was cancelled."""
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, FenceTooOld | StaleLeader):
            logger.warning(
                "A newer leader is about: %s; if that happens again, do managers of another manager.lock or of another "
                "Redis use the same bucket?", error,
            )  # fmt: skip
        elif isinstance(error, (*LOST, ArtifactError)):
            logger.warning("Cannot lead: %s: %s.", type(error).__name__, error)
        elif error is not None:
            logger.error("What the leader does failed; another try follows.", exc_info=error)

    async def _step_down(self) -> None:
        """Our work has ended: let another lead at once."""
        if self.fence:
            logger.info("%s does not lead any more.", self._owner)
        self.fence = 0
        try:
            async with asyncio.timeout(EVERY * self._lease_s):
                await self._lock.release()
        except LOST as error:
            logger.warning("The lease is not released (%s), it lapses by itself.", error)


def now() -> float:
    """Seconds of a clock that goes on while the machine sleeps, where the system has one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
