"""Keeps a worker of this machine in a cluster, whatever becomes of the worker or of the scheduler."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any

from distributed import Nanny, Status
from distributed.protocol.pickle import dumps

from pipeline.nodes.allocator import keep_freed

logger = logging.getLogger(__name__)

LOOK_S = 0.2
IDLE_S = 15.0
"""Seconds without a worker process after which its nanny, which should have started one, is replaced."""
CLOSE_S = 3.0
"""Longest orderly end of a worker process that does nothing any more."""

BROKEN = (OSError, TimeoutError, RuntimeError)
"""What a nanny raises that cannot start: Dask turns whatever its worker says at the start into RuntimeError."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A worker as it joins."""

    scheduler: str
    name: str
    slots: int
    memory_limit: str
    resources: dict[str, float]


class _Counting(Nanny):  # type: ignore[misc]
    """A nanny that counts the worker processes it started."""

    started = 0

    async def instantiate(self) -> Any:
        """Start a worker process."""
        self.started += 1
        return await super().instantiate()


class Member:
    """A nanny with one worker process, in this process's event loop.

    The nanny starts a worker that died again.  A scheduler that goes away takes worker and nanny with it, as Dask
    has it; another nanny is started until there is a scheduler again.
    """

    def __init__(self, offer: Offer, rejoin_s: float) -> None:
        self.offer = offer
        self.rejoins = self._starts = 0
        self._rejoin_s = rejoin_s
        self._nanny: _Counting | None = None
        self._stopping = asyncio.Event()

    @property
    def address(self) -> str:
        """Of the worker; "" while there is none."""
        nanny = self._nanny
        return nanny.worker_address or "" if nanny is not None and nanny.status == Status.running else ""

    @property
    def restarts(self) -> int:
        """Worker processes that had to be started in the place of dead ones."""
        running = self._nanny.started - 1 if self._nanny is not None and self._nanny.started else 0
        return self._starts + running

    async def run(self) -> None:
        """Stay in the cluster until `leave`."""
        said = ""
        while not self._stopping.is_set():
            try:
                await self._stay()
                said = ""
            except BROKEN as error:
                if said != (said := str(error)):  # once, not every second
                    logger.warning("%s: cannot be joined: %s; trying again.", self.offer.scheduler, said)
            if not self._stopping.is_set():
                self.rejoins += 1
                await self._pause()

    async def leave(self, patience_s: float) -> None:
        """Let running items end for `patience_s`, hand the others back to the scheduler, end the worker."""
        self._stopping.set()
        nanny = self._nanny
        if nanny is None:
            return
        if address := self.address:
            try:
                async with asyncio.timeout(patience_s + CLOSE_S):
                    left = await nanny.rpc(address).run(function=dumps(finish), args=dumps((patience_s,)))
                    logger.info("Leaving %s; items handed back: %s.", self.offer.scheduler, left.get("result"))
                    await nanny.scheduler.retire_workers(
                        workers=[address], close_workers=False, remove=True, stimulus_id=f"leaving-{time.time()}"
                    )
            except BROKEN as error:
                logger.warning("Left %s without saying so: %s.", self.offer.scheduler, error or type(error).__name__)
        await nanny.close(timeout=CLOSE_S, reason="indexer-stops")

    async def _stay(self) -> None:
        """One nanny, until it ends."""
        offer = self.offer
        keep_freed(offer.memory_limit, offer.slots)
        nanny = self._nanny = _Counting(
            offer.scheduler, nthreads=offer.slots, name=offer.name, memory_limit=offer.memory_limit,
            resources=offer.resources, dashboard_address="127.0.0.1:0" if "127.0.0.1" in offer.scheduler else None,
        )  # fmt: skip
        starting = asyncio.ensure_future(nanny.start())
        try:
            await asyncio.wait(
                {starting, stopped := asyncio.ensure_future(self._stopping.wait())}, return_when="FIRST_COMPLETED"
            )
            stopped.cancel()
            if not starting.done():
                return
            await starting
            logger.info("Joined %s as %s, worker %s.", offer.scheduler, offer.name, nanny.worker_address)
            await self._watch(nanny)
        finally:
            if not self._stopping.is_set():  # else `leave` ends it
                self._starts += max(0, nanny.started - 1)
                self._nanny = None
                await nanny.close(timeout=CLOSE_S, reason="indexer-rejoins")

    async def _watch(self, nanny: Nanny) -> None:
        alive = time.monotonic()
        while nanny.status not in (Status.closed, Status.closing, Status.failed) and not self._stopping.is_set():
            if nanny.process is not None and nanny.process.is_alive():
                alive = time.monotonic()
            elif time.monotonic() - alive > IDLE_S:
                logger.warning("The nanny of %s has no worker; starting another.", self.offer.name)
                return
            await asyncio.sleep(LOOK_S)

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), self._rejoin_s)
        except TimeoutError:
            return


async def finish(limit_s: float, dask_worker: Any) -> int:
    """Run by a worker that is to leave: take nothing new, wait for what runs; returns how many items still run."""
    dask_worker.status = Status.closing_gracefully
    until = time.monotonic() + limit_s
    while (left := len(dask_worker.state.executing)) and time.monotonic() < until:  # noqa: ASYNC110 - no event
        await asyncio.sleep(LOOK_S / 4)
    return left
