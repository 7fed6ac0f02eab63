"""The matcher: reads, searches, answers, acknowledges, in that order, until told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping

from redis.exceptions import ResponseError

from configs.settings import Settings
from matcher import keys
from matcher.announce import Announcer
from matcher.answering import Answerer, Lapsed
from matcher.comparing import LOOK_S, Comparer
from matcher.connecting import connect
from matcher.consumer import Bad, Consumer
from matcher.doubt import Doubt
from matcher.drawing import Drawer
from matcher.handling import Bounds, Handler
from matcher.housekeeping import Housekeeping
from matcher.loader import Loader
from matcher.messages import Request
from matcher.reader import LOST
from matcher.residency import Held, Residency
from matcher.searching import Searcher
from matcher.takeover import TakeOver
from matcher.watch import Watch
from pipeline.artifact import open_store

logger = logging.getLogger(__name__)

BATCHES = 2
"""Batches in work at once: one is searched while the next is read and decoded."""

QUIET_BATCHES = 8
"""The same of quiet streams; beyond it what they bring waits, so that batches grow."""

TURN_S = 0.002
"""How long a turn may keep the loop when several streams are busy, so that a flooded label delays others by little."""

COST_S = 40e-6
"""CPU of the loop per request, for the size of a turn."""

LEAST = 32
"""Entries of a read at least: smaller batches waste the search."""


class Service:
    """One matcher process."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], matcher_id: str = "") -> None:
        self.settings = settings
        matcher = settings.matcher
        self.id = matcher_id or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.redis = connect(settings.redis.url)
        self.residency = Residency(matcher.memory_limit_bytes)
        self.announcer = Announcer(self.redis, self.id, self.residency, matcher.announce_ttl_s)
        self.doubt = Doubt()
        self.consumer = Consumer(self.redis, self.id, matcher.block_ms, self.doubt)
        self.answerer = Answerer(self.redis, self.consumer.groups, self.announcer.stands)
        self.drawer = Drawer(matcher.live_share, matcher.live_per_minute)
        self.comparer = Comparer(self.drawer, matcher.live_margin, self._serves)
        self.searcher = Searcher(matcher.search_threads or os.cpu_count() or 1, self.drawer.saw)
        self.takeover = TakeOver(self.redis, self.consumer, self.answerer, matcher.max_deliveries)
        self.housekeeping = Housekeeping(self.redis, matcher.consumer_group, matcher.max_ttl_ms)
        self.handler = Handler(
            self.residency, self.searcher, self.answerer, self.housekeeping,
            Bounds(matcher.default_ttl_ms, matcher.max_ttl_ms, matcher.max_limit, self.announcer.now_ms),
        )  # fmt: skip
        self.watch = Watch(
            Loader(open_store(settings.storage.bucket, settings.storage), settings.cache, environ, matcher.device), self.residency,
            self.consumer, self.announcer, matcher,
        )  # fmt: skip
        self.stopping = asyncio.Event()
        self._answered = asyncio.Event()
        """Set when everything that was read is answered: until then we go on announcing."""
        self.ready = False
        """Whether everything that the bucket had at the start has been looked at; what is loaded is served before."""
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
            asyncio.create_task(self._every(1.0, self._tidy), name="tidy"),
            asyncio.create_task(self._every(LOOK_S, self.comparer.turn), name="compare"),
        ]
        try:
            await asyncio.gather(self._serve(), self._serve_quiet())
        finally:
            await self._finish(rescue, upkeep)

    async def _look(self) -> None:
        """Follow the bucket.  Requests are answered from the first index on, not only when all are loaded."""
        await self.watch.look()
        if not self.ready and not self.watch.unreachable:
            self.ready = True
            logger.info("Ready: %s serves %d labels.", self.id, len(self.residency.current))

    async def _serve_quiet(self) -> None:
        """What comes from quiet streams is answered beside the batches of busy ones, not after them."""
        while not self.stopping.is_set():
            await self._quiet_slots.acquire()
            self._start(*await self.consumer.quiet(), self._quiet_slots)

    async def _serve(self) -> None:
        while not self.stopping.is_set():
            await self._slots.acquire()
            try:
                requests, bad = await self.consumer.read(self.budget())
            except (*LOST, ResponseError) as error:
                self._slots.release()
                self.doubt.arise()
                logger.warning("Streams cannot be read (%s); again in 0.5 s.", error)
                await _wait(self.stopping, 0.5)
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
        if len(self.residency.current) < 2:
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

    def _serves(self, held: Held) -> bool:
        return self.residency.current.get(held.label) is held

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

    def _in_hand(self) -> set[tuple[str, bytes]]:
        """Stream and entry of what was read and is being worked on."""
        working = {(one.stream, one.entry) for requests in self._batches.values() for one in requests}
        return working | self.consumer.in_inbox()

    async def _tidy(self) -> None:
        await self.housekeeping.run(self.announcer.now_ms())
        await self.housekeeping.hold((*self.consumer.groups, *map(keys.serving, self.residency.current)))
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
