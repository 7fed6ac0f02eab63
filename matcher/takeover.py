"""Takes over the work that somebody has left behind, be it ourselves."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from matcher.answering import Answerer
from matcher.consumer import Bad, Consumer
from matcher.errors import SearchFailed
from matcher.keys import Feed
from matcher.messages import Request

logger = logging.getLogger(__name__)

AT_ONCE = 100
"""Streams asked about in one round trip, and entries claimed in one."""

IDLE_MS = 500
"""Idle time of what is claimed.  What another matcher has just claimed is not, so that two never claim the same."""

OWN_IDLE_MS = 1_000
"""Idle time after which a request of our own that is not in hand counts as lost."""

LOOK_AGAIN_S = 30.0
"""Seconds after which every stream is looked at again for consumers that nobody ever saw announced."""

SUSPECT = 2
"""Deliveries from which a request is tried alone: the batches that it was in all ended badly."""

FORGET = """
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
"""
"""Delete a consumer with nothing pending; deleting one that has just read something would lose that."""

Deliveries = dict[bytes, int]
"""Entry → how often it was delivered."""

InHand = set[tuple[Feed, bytes]]
"""What was read and is being worked on, with its entry."""


class TakeOver:
    """XPENDING and XCLAIM from consumers whose announcement lapsed; never from one that is merely slow."""

    def __init__(self, redis: Redis, consumers: Sequence[Consumer], answerer: Answerer, max_deliveries: int) -> None:
        """`consumers` have one name; what is read by any of them is looked after."""
        self._redis = redis
        self._consumers = consumers
        self._answerer = answerer
        self._max_deliveries = max_deliveries
        self._forget = redis.register_script(FORGET)
        self._looked: set[Feed] = set()
        self._looked_at = 0.0
        self.taken = 0

    async def strangers(self, alive: set[str]) -> set[str]:
        """Consumers whom nobody announces: of matchers that died before we came, or between two of our looks."""
        found: set[str] = set()
        if time.monotonic() - self._looked_at > LOOK_AGAIN_S:
            self._looked_at = time.monotonic()
            self._looked.clear()
        feeds = self._feeds()
        self._looked &= set(feeds)
        new = [feed for feed in feeds if feed not in self._looked]
        for part in _parts(new):
            pipe = self._redis.pipeline(transaction=False)
            for stream, group in part:
                pipe.xinfo_consumers(stream, group)
            for feed, consumers in zip(part, await pipe.execute(raise_on_error=False), strict=True):
                if isinstance(consumers, ResponseError):
                    continue  # the stream or its group is gone; the reader creates it again
                self._looked.add(feed)
                found |= {one["name"].decode() for one in consumers} - alive
        return found

    async def of(self, gone: set[str]) -> AsyncIterator[list[Request]]:
        """Batches of unanswered requests of matchers that are gone, now ours; removes from `gone` who has none left."""
        for name in list(gone):
            async for batch in self._batches(name, IDLE_MS, set):
                self.taken += len(batch)
                logger.warning("Took over %d requests of %s, which is gone.", len(batch), name)
                yield batch
            if await self._forgotten(name):
                gone.discard(name)

    def _feeds(self) -> list[Feed]:
        return [feed for consumer in self._consumers for feed in consumer.feeds]

    async def own(self, in_hand: Callable[[], InHand]) -> AsyncIterator[list[Request]]:
        """Requests that were delivered to us and lost on the way: with a connection, a batch, or a process of our name."""
        async for batch in self._batches(self._consumers[0].name, OWN_IDLE_MS, in_hand):
            logger.warning("Found %d requests that were delivered and not answered.", len(batch))
            yield batch

    async def _batches(self, name: str, idle_ms: int, in_hand: Callable[[], InHand]) -> AsyncIterator[list[Request]]:
        """What was delivered to a consumer long ago: the first time in one go, the suspects one by one, mildest first."""
        for part in _parts(self._feeds()):
            for feed, deliveries in await self._pending(part, name, idle_ms):
                held = in_hand()
                lost = {entry: times for entry, times in deliveries.items() if (feed, entry) not in held}
                fresh = {entry: times for entry, times in lost.items() if times < SUSPECT}
                suspects = sorted((times, entry) for entry, times in lost.items() if times >= SUSPECT)
                for some in (fresh, *({entry: times} for times, entry in suspects)):
                    if some and (batch := await self._claim(feed, idle_ms, some)):
                        yield batch

    async def _pending(self, part: list[Feed], name: str, idle_ms: int) -> list[tuple[Feed, Deliveries]]:
        """Feeds, with what a consumer has had for `idle_ms`; the rest of a long list comes the next time."""
        pipe = self._redis.pipeline(transaction=False)
        for stream, group in part:
            pipe.xpending_range(stream, group, "-", "+", AT_ONCE, consumername=name, idle=idle_ms)
        found = []
        for feed, pending in zip(part, await pipe.execute(raise_on_error=False), strict=True):
            if isinstance(pending, ResponseError):
                _ignore_absent(pending)
            elif pending:
                found.append((feed, {one["message_id"]: one["times_delivered"] for one in cast(Any, pending)}))
        return found

    async def _forgotten(self, name: str) -> bool:
        """XREADGROUP made the consumer; a dead one with nothing pending only costs memory.  False while it has some."""
        empty = True
        for part in _parts(self._feeds()):
            pipe = self._redis.pipeline(transaction=False)
            for stream, group in part:
                await self._forget(keys=[stream], args=[group, name], client=pipe)
            for reply in await pipe.execute(raise_on_error=False):
                if isinstance(reply, ResponseError):
                    _ignore_absent(reply)
                else:
                    empty &= bool(reply)
        return empty

    async def _claim(self, feed: Feed, idle_ms: int, deliveries: Deliveries) -> list[Request]:
        ours = self._consumers[0]
        command = ("XCLAIM", *feed, ours.name, idle_ms, *deliveries)
        raw: list[Any] = await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
        # the server leaves out, and forgets, what was trimmed while pending
        requests, bad = ours.parsed([(feed, raw or [])])
        poison = [one for one in requests if deliveries[one.entry] >= self._max_deliveries]
        if bad:
            await self._answerer.bury(bad)
        if poison:
            await self._give_up(poison)
        return [one for one in requests if deliveries[one.entry] < self._max_deliveries]

    async def _give_up(self, poison: list[Request]) -> None:
        """A request that went down with several matchers is answered with an error and kept for inspection."""
        why = f"delivered {self._max_deliveries} times without an answer"
        flat: list[Bad] = [
            (Feed(one.stream, one.group), one.entry, [part for pair in one.fields.items() for part in pair], why)
            for one in poison
        ]
        await self._answerer.bury(flat)
        await self._answerer.send([(None, one, SearchFailed(why)) for one in poison])


def _parts(feeds: Iterable[Feed]) -> Iterator[list[Feed]]:
    """Feeds, `AT_ONCE` at a time."""
    left = iter(feeds)
    while part := list(islice(left, AT_ONCE)):
        yield part


def _ignore_absent(error: ResponseError) -> None:
    """A stream or group that is gone has taken with it everything pending; other errors are raised."""
    if "NOGROUP" not in str(error) and "no such key" not in str(error):
        raise error
