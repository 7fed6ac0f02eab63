"""Reads entries of many streams for one consumer."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from matcher.keys import Feed

LOST = (RedisConnectionError, RedisTimeoutError, OSError)
"""What a Redis that went away looks like."""

Entries = list[tuple[Feed, list[Any]]]
"""Feeds with what was read from them: pairs of entry id and flat fields, as they come from the socket."""


PACKED = 256
"""Packed commands that are kept."""


class Reader:
    """XREADGROUP as one named consumer."""

    def __init__(self, redis: Redis, name: str) -> None:
        self._redis = redis
        self.name = name
        self.feeds: dict[Feed, None] = {}
        """What is read: a group that was destroyed is made again."""
        self._packed: dict[Hashable, list[bytes]] = {}

    async def create(self, feeds: Iterable[Feed]) -> None:
        """Make each group, which begins at the first entry of its stream, unless it is there."""
        pipe = self._redis.pipeline(transaction=False)
        for stream, group in feeds:
            pipe.xgroup_create(stream, group, id="0", mkstream=True)
        for reply in await pipe.execute(raise_on_error=False):
            if isinstance(reply, Exception) and not str(reply).startswith("BUSYGROUP"):
                raise reply

    async def sleep(self, group: str, streams: Sequence[str], count: int, block_ms: int) -> Entries:
        """Wait until one of the streams has something; empty when none had until `block_ms` passed."""
        try:
            return _entries(group, await self._slept(group, streams, count, block_ms))
        except ResponseError as error:
            await self._repair(error, group, streams)
            return []

    async def _slept(self, group: str, streams: Sequence[str], count: int, block_ms: int) -> Any:
        """The reply.  The same names are sent after each arrival, so that they are packed once."""
        pool: Any = self._redis.connection_pool
        connection = await pool.get_connection()
        key = (group, tuple(streams), count, block_ms)
        try:
            if key not in self._packed:
                if len(self._packed) >= PACKED:
                    del self._packed[next(iter(self._packed))]
                self._packed[key] = connection.pack_command(*self._command(group, streams, count, ("BLOCK", block_ms)))
            await connection.send_packed_command(self._packed[key])
            return await connection.read_response()
        except ResponseError:
            raise
        except BaseException:
            await connection.disconnect(nowait=True)  # a reply may still be on its way, and it is not for the next user
            raise
        finally:
            await pool.release(connection)

    async def take(self, feeds: Iterable[Feed], count: int) -> Entries:
        """What the feeds have now, at most `count` entries of each, in one round trip."""
        by_group: dict[str, list[str]] = {}
        for feed in feeds:
            if feed in self.feeds:
                by_group.setdefault(feed.group, []).append(feed.stream)
        pipe = self._redis.pipeline(transaction=False)
        for group, its in by_group.items():
            pipe.execute_command(*self._command(group, its, count, ()))
        found: Entries = []
        replies = await pipe.execute(raise_on_error=False)
        for (group, its), reply in zip(by_group.items(), replies, strict=True):
            if isinstance(reply, ResponseError):
                await self._repair(reply, group, its)
            else:
                found += _entries(group, reply)
        return found

    def _command(self, group: str, streams: Sequence[str], count: int, more: Sequence[Any]) -> tuple[Any, ...]:
        begins = (">",) * len(streams)
        return ("XREADGROUP", "GROUP", group, self.name, "COUNT", count, *more, "STREAMS", *streams, *begins)

    async def _repair(self, error: ResponseError, group: str, streams: Sequence[str]) -> None:
        """The server was wiped, or somebody destroyed the group: create and go on."""
        if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
            raise error
        await self.create(feed for stream in streams if (feed := Feed(stream, group)) in self.feeds)


def _entries(group: str, reply: Any) -> Entries:
    return [(Feed(stream.decode(), group), entries) for stream, entries in reply or ()]
