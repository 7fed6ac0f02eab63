"""Takes over the work of matchers that are gone."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from matcher.answering import Answerer
from matcher.consumer import Bad, Consumer
from matcher.errors import SearchFailed
from matcher.messages import Request

logger = logging.getLogger(__name__)

AT_ONCE = 256


class TakeOver:
    """XPENDING and XCLAIM from consumers whose announcement lapsed; never from one that is merely slow."""

    def __init__(self, redis: Redis, consumer: Consumer, answerer: Answerer, max_deliveries: int) -> None:
        self._redis = redis
        self._consumer = consumer
        self._answerer = answerer
        self._max_deliveries = max_deliveries
        self.taken = 0

    async def strangers(self, alive: set[str]) -> set[str]:
        """Consumers of our streams that nobody announces: of matchers that died before we came."""
        found: set[str] = set()
        for stream, group in list(self._consumer.groups.items()):
            try:
                consumers = await self._redis.xinfo_consumers(stream, group)
            except ResponseError:
                continue  # the stream or its group is gone; the reader creates it again
            found |= {one["name"].decode() for one in consumers} - alive
        return found

    async def of(self, gone: Iterable[str]) -> list[Request]:
        """The unanswered requests of matchers that are gone, now ours."""
        requests: list[Request] = []
        for stream, group in list(self._consumer.groups.items()):
            for name in gone:
                try:
                    requests += await self._claim(stream, group, name)
                except ResponseError as error:
                    if not str(error).startswith("NOGROUP"):
                        raise
        if requests:
            self.taken += len(requests)
            logger.warning("Took over %d requests from %s.", len(requests), ", ".join(gone))
        return requests

    async def _claim(self, stream: str, group: str, name: str) -> list[Request]:
        claimed: list[Request] = []
        while True:
            pending = await self._redis.xpending_range(stream, group, "-", "+", AT_ONCE, consumername=name)
            if not pending:
                # XREADGROUP made the consumer; a dead one with nothing pending only costs memory
                await self._redis.xgroup_delconsumer(stream, group, name)
                return claimed
            deliveries: dict[bytes, int] = {one["message_id"]: one["times_delivered"] for one in cast(Any, pending)}
            command = ("XCLAIM", stream, group, self._consumer.name, 0, *deliveries)
            raw: list[Any] = await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
            there = [one for one in raw or () if one and one[1] is not None]
            if lost := set(deliveries) - {one[0] for one in there}:
                await self._redis.xack(stream, group, *lost)  # trimmed while pending: there is nothing to answer
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
