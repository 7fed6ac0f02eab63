"""The client: many requests in flight on one connection, answers on another."""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from msgpack import UnpackException
from numpy.typing import ArrayLike
from redis.asyncio import Redis
from redis.exceptions import RedisError

from configs.settings import Client
from matcher import keys
from matcher.directory import Directory
from matcher.errors import BadDescriptor, BadRequest, MatchError, Stale, TimedOut
from matcher.flight import Flight
from matcher.merge import Answer, Sighting, across
from matcher.messages import unpacked
from matcher.transport import LOST, Sender, unreachable

logger = logging.getLogger(__name__)

TICK_S = 0.02
"""How often deadlines and repeats are looked at: one timer for all flights."""


class MatchClient:
    """`async with MatchClient(url, settings) as client: await client.match(label, descriptor)`.

    Safe for any number of tasks of one event loop.  A request that gets no answer is sent again under the
    same rid, so that an answer lost with a matcher or a connection costs time, not the answer.
    """

    def __init__(self, redis_url: str, settings: Client | None = None) -> None:
        self._settings = settings or Client()
        self._url = redis_url
        self.id = uuid.uuid4().hex[:12]
        self._redis: Redis = Redis.from_url(redis_url, protocol=2, socket_timeout=10, socket_connect_timeout=3)
        self._sender = Sender(self._redis)
        self._flights: dict[str, Flight] = {}
        self._counter = itertools.count()
        self._slots = asyncio.Semaphore(self._settings.in_flight)
        self.directory = Directory()
        self._used: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False  # Redis' client may turn a cancellation into a time-out: cancelled loops look here, too

    async def __aenter__(self) -> MatchClient:
        pubsub = self._redis.pubsub()
        try:
            await pubsub.subscribe(keys.answer_channel(self.id))
            await self.directory.refresh(self._redis, self._used)
        except (*LOST, RedisError) as error:
            await pubsub.aclose()  # type: ignore[no-untyped-call]
            await self._redis.aclose()
            raise unreachable(self._url, error) from error
        loops = (self._listen(pubsub), self._tick(), self._refresh())
        self._tasks = [asyncio.create_task(loop) for loop in loops]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for flight in self._flights.values():
            flight.expire(TimedOut(f"{flight.rid}: the client was closed before the answer came"))
        await self._sender.close()
        await self._redis.aclose()

    async def match(
        self, label: str, descriptor: ArrayLike, *, limit: int = 10, threshold: float | None = None,
        timeout_s: float | None = None, **more: str | int,
    ) -> Answer:  # fmt: skip
        """The `limit` most similar rows of a label to a descriptor (dim,), of similarity `threshold` or more.

        `more` are further fields of the wire: group_by="person", min_watermark, descriptor_version,
        luna_request_id.  Raises a MatchError: NoIndex at once when nobody serves the label, TimedOut
        when no answer came in time.
        """
        await self._slots.acquire()
        try:
            future = await self.send(label, descriptor, limit=limit, threshold=threshold, timeout_s=timeout_s, **more)
        except BaseException:
            self._slots.release()
            raise
        future.add_done_callback(self._ended)
        return await future

    async def match_labels(
        self, labels: Sequence[str], descriptor: ArrayLike, *, limit: int = 10, **more: Any
    ) -> tuple[Sighting, ...]:
        """One probe against several labels (watchlists): the best of all, each with its label."""
        return across(
            await asyncio.gather(*(self.match(label, descriptor, limit=limit, **more) for label in labels)), limit
        )

    async def match_many(self, label: str, descriptors: ArrayLike, *, limit: int = 10, **more: Any) -> list[Answer]:
        """Answers for the rows of (n, dim) descriptors, in order; raises the first error."""
        return [answer async for answer in self.stream(label, np.asarray(descriptors), limit=limit, **more)]

    async def stream(self, label: str, descriptors: Iterable[ArrayLike], **more: Any) -> AsyncIterator[Answer]:
        """Answers in the order of the probes, with as many in flight as the settings allow."""
        waiting: asyncio.Queue[asyncio.Future[Answer] | None] = asyncio.Queue(self._settings.in_flight)

        async def feed() -> None:
            try:
                for descriptor in descriptors:
                    await self._slots.acquire()
                    try:
                        future = await self.send(label, descriptor, **more)
                    except BaseException:
                        self._slots.release()
                        raise
                    future.add_done_callback(self._ended)
                    await waiting.put(future)
            except asyncio.CancelledError:
                raise  # nobody listens any more
            except BaseException:
                await waiting.put(None)
                raise
            await waiting.put(None)

        feeder = asyncio.create_task(feed())
        try:
            while (future := await waiting.get()) is not None:
                yield await future
            await feeder
        finally:
            feeder.cancel()

    async def send(
        self, label: str, descriptor: ArrayLike, *, limit: int = 10, threshold: float | None = None,
        timeout_s: float | None = None, **more: str | int,
    ) -> asyncio.Future[Answer]:  # fmt: skip
        """Put a request on its way; the future gets its answer.  Does not wait for a free place in flight."""
        served = await self._served(label)
        if limit < 1:  # how many are too many is the matcher's to say
            raise BadRequest(f"limit: expected 1 or more, got {limit}")
        vector = np.ascontiguousarray(descriptor, np.float32)
        if vector.shape != (served.dim,):
            raise BadDescriptor(f"expected a descriptor of {served.dim} numbers, got shape {vector.shape}")
        loop = asyncio.get_running_loop()
        life = timeout_s or self._settings.timeout_ms / 1000
        rid = f"{self.id}-{next(self._counter)}"
        fields: list[bytes | str | int] = [
            "rid", rid, "v", keys.PROTOCOL, "label", label, "limit", limit, "descriptor", vector.tobytes(),
            "response_channel", keys.answer_channel(self.id),
        ]  # fmt: skip
        if threshold is not None:
            fields += ["threshold", repr(float(threshold))]
        for name, value in more.items():
            fields += [name, value]
        now = loop.time()
        future: asyncio.Future[Answer] = loop.create_future()
        flight = Flight(rid, label, fields, limit, now + life, future, now + life / 3, life / 3)
        self._flights[rid] = flight
        self._sender.put(keys.index_stream(label, served.index_id), flight, life)
        return future

    async def _served(self, label: str) -> Any:
        if label not in self._used:
            self._used.add(label)
            try:
                await self.directory.meet(self._redis, self._used, label)
            except LOST as error:
                self._used.discard(label)
                raise unreachable(self._url, error) from error
        return self.directory.find(label, self._settings.max_backlog)

    def _ended(self, future: asyncio.Future[Answer]) -> None:
        self._slots.release()
        if not future.cancelled():
            future.exception()  # seen: after the first error of a stream nobody awaits the others

    async def _listen(self, pubsub: Any) -> None:
        while not self._closing:
            try:
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=5.0)
            except (*LOST, RedisError) as error:
                logger.warning("Redis went away (%s); requests in flight are sent again.", error)
                await asyncio.sleep(0.1)
                for flight in self._flights.values():
                    flight.repeat_at = 0.0  # answers published meanwhile are lost
                continue
            if message is not None:
                self._heard(message["data"])

    def _heard(self, data: bytes) -> None:
        try:
            for answer in unpacked(data):
                self._landed(answer)
        except (ValueError, KeyError, TypeError, AttributeError, UnpackException) as error:
            logger.warning("Something that is no answer came on our channel (%s: %s).", type(error).__name__, error)

    def _landed(self, message: dict[str, Any]) -> None:
        flight = self._flights.get(message["rid"])
        if flight is None:
            return  # a repeat's second answer
        try:
            over = flight.take(message)
        except Stale:
            flight.repeat_at = 0.0
            self._used.discard(flight.label)  # look where it is served now before it is sent again
            return
        if over:
            del self._flights[message["rid"]]

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._closing:
            await asyncio.sleep(TICK_S)
            now = loop.time()
            for flight in list(self._flights.values()):
                if now >= flight.deadline:
                    flight.expire(
                        TimedOut(
                            f"{flight.rid}: no answer for label {flight.label!r} in time: is its matcher overloaded?"
                        )
                    )
                if flight.future.done():
                    self._flights.pop(flight.rid, None)
                elif now >= flight.repeat_at:
                    await self._repeat(flight, now)

    async def _repeat(self, flight: Flight, now: float) -> None:
        flight.repeat_at = now + flight.repeat_s
        try:
            served = await self._served(flight.label)
        except MatchError as error:  # also NoIndex: it may come back before the deadline
            logger.debug("%s is not repeated yet: %s.", flight.rid, error)
            return
        self._sender.put(keys.index_stream(flight.label, served.index_id), flight, flight.deadline - now)

    async def _refresh(self) -> None:
        while not self._closing:
            await asyncio.sleep(self._settings.refresh_s)
            try:
                await self.directory.refresh(self._redis, self._used)
            except (*LOST, RedisError) as error:
                logger.debug("Nobody tells who serves what: %s.", error)
