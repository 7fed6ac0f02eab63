"""The matcher: reads, searches, answers, acknowledges, in that order, until told to stop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from redis.exceptions import ResponseError

from configs.settings import Settings
from matcher import keys
from matcher.answering import Lapsed
from matcher.comparing import LOOK_S
from matcher.consumer import Bad
from matcher.held import Held
from matcher.keys import Feed
from matcher.messages import Request
from matcher.parts import Parts
from matcher.reader import LOST
from matcher.takeover import InHand

logger = logging.getLogger(__name__)

BATCHES = 2
"""Batches in work at once: one is searched while the next is read and decoded."""

QUIET_BATCHES = 8
"""The same of quiet streams; beyond it what they bring waits, so that batches grow."""

TURN_S = 0.002
"""How long a turn may keep the loop when several streams are busy, so that a flooded label delays others by little."""

COST_S = 40e-6
"""CPU of the loop per request, for the size of a turn."""

DRAIN_S = 3.0
"""Longest wait at the stop for what was passed on to all shards; the rest is left to other matchers."""

LEAST = 32
"""Entries of a read at least: smaller batches waste the search."""


class Service(Parts):
    """One matcher process."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], matcher_id: str = "") -> None:
        super().__init__(settings, environ, matcher_id)
        self.stopping = asyncio.Event()
        self._ending = asyncio.Event()
        """Set when nothing is passed on any more, which our own shards may have had to answer: reading ends."""
        self._answered = asyncio.Event()
        """Set when everything that was read is answered: until then we go on announcing."""
        self.ready = False
        """Whether everything that the bucket had at the start has been looked at; what is loaded is served before."""
        self._looked = False
        self._slots = asyncio.Semaphore(BATCHES)
        self._quiet_slots = asyncio.Semaphore(QUIET_BATCHES)
        self._batches: dict[asyncio.Task[None], list[Request]] = {}

    async def run(self) -> None:
        """Serve what the bucket has until `stopping` is set; returns when everything is answered."""
        await self._until_there(self.announcer.renew)
        often, poll = self.settings.matcher.announce_every_s, self.settings.matcher.poll_s
        rescue = asyncio.create_task(self._every(often, self._take_over), name="take over")
        upkeep = [
            asyncio.create_task(self._every(often, self.announcer.renew, self._answered), name="renew"),
            asyncio.create_task(self._every(poll, self._look), name="look"),
            asyncio.create_task(self._every(often, self.watch.sharing.settle), name="settle"),
            asyncio.create_task(self._every(often, self._take_shards), name="take shards"),
            asyncio.create_task(self._every(1.0, self._tidy), name="tidy"),
            asyncio.create_task(self._every(LOOK_S, self.comparer.turn), name="compare"),
        ]
        try:
            await asyncio.gather(self._serve(), self._serve_quiet(), self.relay.serve(), self._wind_down())
        finally:
            await self._finish(rescue, upkeep)

    async def _wind_down(self) -> None:
        """Told to stop, answer first what was passed on."""
        await self.stopping.wait()
        try:
            await self.relay.drain(DRAIN_S)
        finally:
            self._ending.set()

    async def _look(self) -> None:
        """Follow the bucket.  Requests are answered from the first index on, not only when all are loaded."""
        await self.watch.look()
        self._looked |= not self.watch.unreachable
        self._get_ready()

    async def _take_shards(self) -> None:
        await self.watch.sharing.take()
        self._get_ready()

    def _get_ready(self) -> None:
        if not self.ready and self._looked and self.watch.sharing.complete:
            self.ready = True
            logger.info("Ready: %s serves %d labels.", self.id, len(self.residency.serving))

    async def _serve_quiet(self) -> None:
        """What comes from quiet streams is answered beside the batches of busy ones, not after them."""
        while not self._ending.is_set():
            await self._quiet_slots.acquire()
            self._start(*await self.consumer.quiet(), self._quiet_slots)

    async def _serve(self) -> None:
        while not self._ending.is_set():
            await self._slots.acquire()
            try:
                requests, bad = await self.consumer.read(self.budget())
            except (*LOST, ResponseError) as error:
                self._slots.release()
                self.doubt.arise()
                logger.warning("Streams cannot be read (%s); again in 0.5 s.", error)
                await _wait(self._ending, 0.5)
                continue
            self._start(requests, bad, self._slots)

    def _start(self, requests: list[Request], bad: list[Bad], slots: asyncio.Semaphore) -> None:
        """Answer a batch in a task of its own, which gives its slot back."""
        if not requests and not bad:
            slots.release()
            self._hold()
            return
        task = asyncio.create_task(self._attempt(requests, bad))
        self._batches[task] = requests
        self._hold()
        task.add_done_callback(self._batches.pop)
        task.add_done_callback(lambda _: slots.release())
        task.add_done_callback(self._hold)

    def budget(self) -> int:
        """Entries of the next read: with other labels to serve, what a turn of a few milliseconds can do."""
        most = self.settings.matcher.batch
        if len(self.residency.serving) < 2:
            return most
        slowest = max(map(self.handler.search_cost_s, self.consumer.hot), default=0.0)
        return min(most, max(LEAST, int(TURN_S / (COST_S + slowest / self.searcher.threads))))

    async def _attempt(self, requests: list[Request], bad: list[Bad]) -> None:
        """Answer, or leave what is not answered pending and in doubt, so that it is found again."""
        try:
            await self.handler.handle(requests, bad)
        except (*LOST, Lapsed) as error:
            self.doubt.arise()
            logger.warning("%d requests are not answered yet (%s); they are looked for again.", len(requests), error)
        except Exception:
            self.doubt.arise()
            logger.exception("A batch of %d requests failed; it is tried again.", len(requests))

    def _hold(self, _: object = None) -> None:
        """While something is in work or waiting nothing is compared."""
        self.comparer.hold(bool(self._batches or self.consumer.busy))

    async def _take_over(self) -> None:
        """Answer what others left behind, and what we lost ourselves."""
        strangers = await self.takeover.strangers(self.announcer.alive | {self.id})
        self.announcer.gone |= strangers
        if self.announcer.gone:
            async for requests in self.takeover.of(self.announcer.gone):
                await self._attempt(requests, [])
        if self.doubt.stands:
            async for requests in self.takeover.own(self._in_hand):
                await self._attempt(requests, [])

    def _in_hand(self) -> InHand:
        """Feed and entry of what was read and is being worked on."""
        working = {(Feed(one.stream, one.group), one.entry) for requests in self._batches.values() for one in requests}
        return working | self.consumer.in_inbox() | self.relay.in_hand()

    async def _tidy(self) -> None:
        await self.housekeeping.bereave(self.watch.sharing.orphans())
        await self.housekeeping.run(self.announcer.now_ms())
        await self.housekeeping.hold((*self.reading.streams(), *map(keys.serving, self.residency.serving)))
        await self.watch.retire(keys.REFRESH_S, self.settings.matcher.max_ttl_ms / 1000, self._idle)

    async def _idle(self, held: Held) -> bool:
        """Nothing of its stream is in work or waiting."""
        return not held.in_work and not self.housekeeping.waiting_in(keys.index_stream(held.label, held.index_id))

    async def _every(
        self, seconds: float, work: Callable[[], Awaitable[object]], end: asyncio.Event | None = None
    ) -> None:
        """Do something now and again until the end, which is the stop if none is named."""
        over = False
        while not over:
            try:
                await work()
            except LOST as error:
                self.doubt.arise()
                logger.warning("Redis went away (%s); again in %.1f s.", error, seconds)
            except Exception:
                logger.exception("Upkeep failed; again in %.1f s.", seconds)
            over = await _wait(end or self.stopping, seconds)

    async def _until_there(self, work: Callable[[], Awaitable[object]]) -> None:
        while not self.stopping.is_set():
            try:
                await work()
            except LOST as error:
                logger.warning("Redis does not answer at the address in redis.url (%s); again in 1 s.", error)
                await _wait(self.stopping, 1.0)
            else:
                return

    async def _finish(self, rescue: asyncio.Task[None], upkeep: list[asyncio.Task[None]]) -> None:
        """Stop reading, answer what was read, stop telling, close: in that order, within `shutdown_s`."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.settings.matcher.shutdown_s):
                requests, bad = self.consumer.parsed(await self.consumer.close())
                await asyncio.gather(*self._batches, rescue, return_exceptions=True)
                await self.handler.handle(requests, bad)
                self._answered.set()
                await self.announcer.withdraw()
        except (TimeoutError, Lapsed, *LOST) as error:
            logger.warning("Stopped without order (%s); another matcher takes over.", type(error).__name__)
        for task in upkeep:  # a look may be loading an index, which nobody needs any more
            task.cancel()
        await asyncio.gather(*upkeep, return_exceptions=True)
        await self.comparer.close()
        await self.relay.close()
        self.searcher.close()
        await self.redis.aclose()
        logger.info("Stopped after %.1f s.", time.monotonic() - began)


async def _wait(end: asyncio.Event, seconds: float) -> bool:
    """Sleep, unless the end comes; says whether it has."""
    try:
        async with asyncio.timeout(seconds):
            return await end.wait()
    except TimeoutError:
        return False
