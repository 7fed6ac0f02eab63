"""Takes over the work of matchers that are gone."""

from __future__ import annotations

import logging
import time
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from matcher.answering import Answerer
from matcher.consumer import Bad, Consumer
from matcher.errors import SearchFailed
from matcher.messages import Request

logger = logging.getLogger(__name__)

AT_ONCE = 256

IDLE_MS = 500
"""Idle time of what is claimed.  What another matcher has just claimed is not, so that two never claim the same."""

OWN_IDLE_MS = 1_000
"""Idle time after which a request of our own counts as lost; a batch takes less."""

LOOK_AGAIN_S = 30.0
"""Seconds after which every stream is looked at again for consumers that nobody ever saw announced."""

FORGET = """
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
"""
"""Delete a consumer with nothing pending; deleting one that has just read something would lose that."""


class TakeOver:
    """XPENDING and XCLAIM from consumers whose announcement lapsed; never from one that is merely slow."""

    def __init__(self, redis: Redis, consumer: Consumer, answerer: Answerer, max_deliveries: int) -> None:
        self._redis = redis
        self._consumer = consumer
        self._answerer = answerer
        self._max_deliveries = max_deliveries
        self._forget = redis.register_script(FORGET)
        self._looked: set[str] = set()
        self._looked_at = 0.0
        self.taken = 0

    async def strangers(self, alive: set[str]) -> set[str]:
        """Consumers whom nobody announces: of matchers that died before we came, or between two of our looks."""
        found: set[str] = set()
        if time.monotonic() - self._looked_at > LOOK_AGAIN_S:
            self._looked_at = time.monotonic()
            self._looked.clear()
        self._looked &= set(self._consumer.groups)
        for stream, group in list(self._consumer.groups.items()):
            if stream in self._looked:
                continue
            try:
                consumers = await self._redis.xinfo_consumers(stream, group)
            except ResponseError:
                continue  # the stream or its group is gone; the reader creates it again
            self._looked.add(stream)
            found |= {one["name"].decode() for one in consumers} - alive
        return found

    async def of(self, gone: set[str]) -> list[Request]:
        """The unanswered requests of matchers that are gone, now ours; removes from `gone` who has none left."""
        requests: list[Request] = []
        for name in list(gone):
            left = False
            for stream, group in list(self._consumer.groups.items()):
                requests += await self._claim(stream, group, name, IDLE_MS)
                left |= not await self._emptied(stream, group, name)
            if not left:
                gone.discard(name)
        if requests:
            self.taken += len(requests)
            logger.warning("Took over %d requests of matchers that are gone.", len(requests))
        return requests

    async def own(self) -> list[Request]:
        """Requests that were delivered to us and lost on the way: with a connection, a batch, or a process of our name."""
        requests: list[Request] = []
        for stream, group in list(self._consumer.groups.items()):
            requests += await self._claim(stream, group, self._consumer.name, OWN_IDLE_MS)
        if requests:
            logger.warning("Found %d requests that were delivered and not answered.", len(requests))
        return requests

    async def _emptied(self, stream: str, group: str, name: str) -> bool:
        """XREADGROUP made the consumer; a dead one with nothing pending only costs memory."""
        try:
            return bool(await self._forget(keys=[stream], args=[group, name]))
        except ResponseError as error:
            return _no_group(error)

    async def _claim(self, stream: str, group: str, name: str, idle_ms: int) -> list[Request]:
        claimed: list[Request] = []
        while True:
            try:
                pending = await self._redis.xpending_range(
                    stream, group, "-", "+", AT_ONCE, consumername=name, idle=idle_ms
                )
            except ResponseError as error:
                if _no_group(error):
                    return claimed
                raise
            if not pending:
                return claimed
            deliveries: dict[bytes, int] = {one["message_id"]: one["times_delivered"] for one in cast(Any, pending)}
            command = ("XCLAIM", stream, group, self._consumer.name, idle_ms, *deliveries)
            raw: list[Any] = await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
            there = raw or []  # the server leaves out, and forgets, what was trimmed while pending
            requests, bad = self._consumer.parsed([(stream, there)])
            poison = [one for one in requests if deliveries[one.entry] >= self._max_deliveries]
            if bad:
                await self._answerer.bury(bad)
            if poison:
                await self._give_up(poison)
            claimed += [one for one in requests if deliveries[one.entry] < self._max_deliveries]

    async def _give_up(self, poison: list[Request]) -> None:
        """A request that went down with several matchers is answered with an error and kept for inspection."""
        why = f"delivered {self._max_deliveries} times without an answer"
        flat: list[Bad] = [
            (one.stream, one.entry, [part for pair in one.fields.items() for part in pair], why) for one in poison
        ]
        await self._answerer.bury(flat)
        await self._answerer.send(None, [(one, SearchFailed(why)) for one in poison])


def _no_group(error: ResponseError) -> bool:
    """Whether the stream or its group is gone, and everything pending with it."""
    return "NOGROUP" in str(error) or "no such key" in str(error)
