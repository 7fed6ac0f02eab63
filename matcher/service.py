"""The matcher: reads, searches, answers, acknowledges, in that order, until told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from configs.settings import Settings
from matcher import keys
from matcher.announce import Announcer
from matcher.answering import Answerer, Lapsed
from matcher.consumer import LOST, Bad, Consumer
from matcher.doubt import Doubt
from matcher.handling import Deadlines, Handler
from matcher.housekeeping import Housekeeping
from matcher.loader import Loader
from matcher.messages import Request
from matcher.residency import Held, Residency
from matcher.searching import Searcher
from matcher.takeover import TakeOver
from matcher.watch import Watch
from pipeline.artifact import open_store

logger = logging.getLogger(__name__)

BATCHES = 2
"""Batches in work at once: one is searched while the next is read and decoded."""

TURN_S = 0.004
"""How long a turn may keep the loop when several streams are busy, so that a flooded label delays others by little."""

COST_S = 40e-6
"""CPU of the loop per request, for the size of a turn."""

REFRESH_S = 3.0
"""Clients look at who serves what at least this often; a retired index answers on for as long."""


class Service:
    """One matcher process."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], matcher_id: str = "") -> None:
        self.settings = settings
        matcher = settings.matcher
        self.id = matcher_id or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.redis = _connect(settings.redis.url)
        self.residency = Residency(matcher.memory_limit_bytes)
        self.announcer = Announcer(self.redis, self.id, self.residency, matcher.announce_ttl_s)
        self.doubt = Doubt()
        self.consumer = Consumer(self.redis, self.id, matcher.block_ms, self.doubt)
        self.answerer = Answerer(self.redis, self.consumer.groups, self.announcer.stands)
        self.searcher = Searcher(matcher.search_threads or os.cpu_count() or 1, matcher.max_limit)
        self.takeover = TakeOver(self.redis, self.consumer, self.answerer, matcher.max_deliveries)
        self.housekeeping = Housekeeping(self.redis)
        self.handler = Handler(
            self.residency, self.searcher, self.answerer, self.housekeeping,
            Deadlines(matcher.default_ttl_ms, matcher.max_ttl_ms, self.announcer.now_ms),
        )  # fmt: skip
        self.watch = Watch(
            Loader(open_store(settings.storage.bucket, settings.storage), settings.cache, environ, matcher.device), self.residency,
            self.consumer, self.announcer, matcher,
        )  # fmt: skip
        self.stopping = asyncio.Event()
        self.ready = False
        self._slots = asyncio.Semaphore(BATCHES)
        self._batches: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Load what the bucket has, then serve until `stopping` is set; returns when everything is answered."""
        await self._until_there(self.announcer.renew)
        await self._until_there(self.watch.look)
        self.ready = True
        logger.info("Ready: %s serves %d labels.", self.id, len(self.residency.current))
        matcher = self.settings.matcher
        upkeep = [
            asyncio.create_task(self._every(matcher.announce_every_s, self.announcer.renew), name="renew"),
            asyncio.create_task(self._every(matcher.announce_every_s, self._take_over), name="take over"),
            asyncio.create_task(self._every(matcher.poll_s, self.watch.look), name="look"),
            asyncio.create_task(self._every(1.0, self._tidy), name="tidy"),
        ]
        try:
            await asyncio.gather(self._serve(), self._serve_quiet())
        finally:
            await self._finish(upkeep)

    async def _serve_quiet(self) -> None:
        """What comes from quiet streams is answered at once, beside the batches of busy ones."""
        while not self.stopping.is_set():
            requests, bad = await self.consumer.quiet()
            if requests or bad:
                self._start(self._attempt(requests, bad))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._batches.add(task)
        task.add_done_callback(self._batches.discard)

    async def _serve(self) -> None:
        while not self.stopping.is_set():
            await self._slots.acquire()
            try:
                requests, bad = await self.consumer.read(self._budget())
            except (*LOST, ResponseError) as error:
                self._slots.release()
                self.doubt.arise()
                logger.warning("Streams cannot be read (%s); again in 0.5 s.", error)
                await self._wait(0.5)
                continue
            if not requests and not bad:
                self._slots.release()
                continue
            self._start(self._batch(requests, bad))

    def _budget(self) -> int:
        most = self.settings.matcher.batch
        return (
            most
            if self.consumer.busy_streams < 2 and len(self.residency.current) < 2
            else min(most, int(TURN_S / COST_S))
        )

    async def _batch(self, requests: list[Request], bad: list[Bad]) -> None:
        try:
            await self._attempt(requests, bad)
        finally:
            self._slots.release()

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

    async def _take_over(self) -> None:
        """Answer what others left behind, and what we lost ourselves."""
        self.announcer.gone |= await self.takeover.strangers(self.announcer.alive | {self.id})
        requests = await self.takeover.of(self.announcer.gone) if self.announcer.gone else []
        if self.doubt.stands:
            requests += await self.takeover.own()
        batch = self.settings.matcher.batch
        for start in range(0, len(requests), batch):
            await self._attempt(requests[start : start + batch], [])

    async def _tidy(self) -> None:
        await self.housekeeping.run()
        await self.watch.retire(REFRESH_S, self.settings.matcher.max_ttl_ms / 1000, self._idle)

    async def _idle(self, held: Held) -> bool:
        """Nothing of its stream is in work or waiting."""
        return not held.in_work and not self.housekeeping.waiting_in(keys.index_stream(held.label, held.index_id))

    async def _every(self, seconds: float, work: Callable[[], Awaitable[object]]) -> None:
        while not await self._wait(seconds):
            try:
                await work()
            except LOST as error:
                self.doubt.arise()
                logger.warning("Redis went away (%s); again in %.1f s.", error, seconds)
            except Exception:
                logger.exception("Upkeep failed; again in %.1f s.", seconds)

    async def _until_there(self, work: Callable[[], Awaitable[object]]) -> None:
        while not self.stopping.is_set():
            try:
                await work()
            except LOST as error:
                logger.warning("Redis does not answer at the address in redis.url (%s); again in 1 s.", error)
                await self._wait(1.0)
            else:
                return

    async def _wait(self, seconds: float) -> bool:
        """Sleep, unless told to stop; says whether to stop."""
        try:
            async with asyncio.timeout(seconds):
                return await self.stopping.wait()
        except TimeoutError:
            return False

    async def _finish(self, upkeep: list[asyncio.Task[None]]) -> None:
        """Stop reading, answer what was read, stop telling, close: in that order, within `shutdown_s`."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.settings.matcher.shutdown_s):
                await self.announcer.renew()  # so that we may answer until the end
                requests, bad = self.consumer.parsed(await self.consumer.close())
                await asyncio.gather(*self._batches, return_exceptions=True)
                await self.handler.handle(requests, bad)
                await asyncio.gather(*upkeep, return_exceptions=True)
                await self.announcer.withdraw()
        except (TimeoutError, Lapsed, *LOST) as error:
            logger.warning("Stopped without order (%s); another matcher takes over.", type(error).__name__)
        self.searcher.close()
        await self.redis.aclose()
        logger.info("Stopped after %.1f s.", time.monotonic() - began)


def _connect(url: str) -> Redis:
    """A connection pool whose replies to the hot commands come as they are, not as dictionaries."""
    redis: Redis = Redis.from_url(url, protocol=2, socket_timeout=10, socket_connect_timeout=3, health_check_interval=0)
    for command in ("XREADGROUP", "XCLAIM"):
        redis.set_response_callback(command, cast(Any, lambda reply, **_: reply))
    return redis
