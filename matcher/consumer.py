"""Reads requests from many streams: busy ones in large bites, quiet ones the moment something comes."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from matcher.doubt import Doubt
from matcher.messages import NotOfTheProtocol, Request, parse

logger = logging.getLogger(__name__)

LOST = (RedisConnectionError, RedisTimeoutError, OSError)
"""What a Redis that went away looks like."""

PER_READ = 64
"""Streams of one non-blocking read: COUNT is per stream, so more streams mean smaller bites of each."""

STEADY = 8
"""Reads in a row that gave something, after which a stream is left out of the sleeping read."""

WAITING = 256
"""Entries from quiet streams that may wait to be taken before the sleepers pause."""

Bad = tuple[str, bytes, Sequence[bytes], str]
"""Stream, entry, fields and why it is none of ours."""


class Consumer:
    """One consumer of consumer groups on a changing set of streams.

    Streams that gave something lately are *hot*: `read` reads them without blocking, `budget` entries over
    all of them in fair rotation.  One sleeping, blocking read per group with COUNT 1 watches all streams but
    those that stay hot, and `quiet` gives what it found: a flooded label never hides a quiet one.
    """

    def __init__(self, redis: Redis, name: str, block_ms: int, doubt: Doubt) -> None:
        self.redis = redis
        self.name = name
        self._doubt = doubt
        self._block_ms = block_ms
        self.groups: dict[str, str] = {}
        """Stream → group."""
        self._hot: dict[str, int] = {}
        """Stream → reads in a row that gave something."""
        self._commands: dict[str, list[bytes]] = {}
        """Group → the sleeper's packed command: it names every quiet stream, so it is packed only when these change."""
        self._inbox: list[tuple[str, list[Any]]] = []
        self._waiting = 0
        self._heated = asyncio.Event()
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._sleepers: dict[str, asyncio.Task[None]] = {}
        self._rotation = itertools.count()
        self.closing = False

    async def join(self, stream: str, group: str) -> None:
        """Read a stream from now on; its group begins at the stream's first entry."""
        await self._create(stream, group)
        self.groups[stream] = group
        self._commands.pop(group, None)
        if group not in self._sleepers:
            self._sleepers[group] = asyncio.create_task(self._sleep(group), name=f"sleeper {group}")

    def leave(self, stream: str) -> None:
        """Stop reading a stream."""
        self._cool(stream)
        self._commands.pop(self.groups.pop(stream, ""), None)

    async def _create(self, stream: str, group: str) -> None:
        try:
            await self.redis.xgroup_create(stream, group, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def read(self, budget: int) -> tuple[list[Request], list[Bad]]:
        """What hot streams have, waiting up to the blocking time for one to become so; empty when idle or closing."""
        if not self._hot and not self.closing:
            self._heated.clear()
            await self._wait(self._heated, self._block_ms / 1000)
        return self.parsed(await self._read_hot(budget))

    async def quiet(self) -> tuple[list[Request], list[Bad]]:
        """What came from quiet streams, waiting for it up to the blocking time."""
        if not self._inbox and not self.closing:
            await self._wait(self._arrived, self._block_ms / 1000)
        return self.parsed(self._take_inbox())

    @staticmethod
    async def _wait(event: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()

    @property
    def busy_streams(self) -> int:
        """How many streams gave something lately."""
        return len(self._hot)

    def parsed(self, raw: list[tuple[str, list[Any]]]) -> tuple[list[Request], list[Bad]]:
        """Requests, and entries that are none."""
        requests: list[Request] = []
        bad: list[Bad] = []
        for stream, entries in raw:
            for entry, flat in entries:
                try:
                    requests.append(parse(stream, entry, flat or ()))
                except NotOfTheProtocol as error:
                    bad.append((stream, entry, flat or (), str(error)))
        return requests, bad

    async def _read_hot(self, budget: int) -> list[tuple[str, list[Any]]]:
        streams = list(self._hot)
        if not streams:
            return []
        start = next(self._rotation) * PER_READ % len(streams)
        chosen = (streams + streams)[start : start + min(PER_READ, len(streams))]
        found: list[tuple[str, list[Any]]] = []
        count = max(1, budget // len(chosen))
        for group in {self.groups[stream] for stream in chosen}:
            mine = [stream for stream in chosen if self.groups.get(stream) == group]
            found += await self._xreadgroup(group, mine, count, block_ms=None)
        gave = {stream for stream, _ in found}
        for stream in chosen:
            if stream not in gave:
                self._cool(stream)
            elif stream in self._hot:
                self._hot[stream] += 1
                if self._hot[stream] == STEADY:
                    self._commands.pop(self.groups[stream], None)  # from now on only read here
        return found

    def _cool(self, stream: str) -> None:
        if self._hot.pop(stream, 0) >= STEADY:
            self._commands.pop(self.groups.get(stream, ""), None)

    async def _xreadgroup(
        self, group: str, streams: list[str], count: int, *, block_ms: int | None
    ) -> list[tuple[str, list[Any]]]:
        try:
            reply = await self._reply(group, streams, count, block_ms)
        except ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            for stream in streams:  # the server was wiped, or somebody destroyed the group: create and go on
                if stream in self.groups:
                    await self._create(stream, group)
            return []
        return [(stream.decode(), entries) for stream, entries in reply or ()]

    async def _reply(self, group: str, streams: list[str], count: int, block_ms: int | None) -> Any:
        head = ("XREADGROUP", "GROUP", group, self.name, "COUNT", count)
        names = ("STREAMS", *streams, *(">" for _ in streams))
        if block_ms is None:
            return await self.redis.execute_command(*head, *names)  # type: ignore[no-untyped-call]
        pool: Any = self.redis.connection_pool
        connection = await pool.get_connection()
        try:
            if group not in self._commands:
                self._commands[group] = connection.pack_command(*head, "BLOCK", block_ms, *names)
            await connection.send_packed_command(self._commands[group])
            return await connection.read_response()
        except BaseException:
            await connection.disconnect(nowait=True)  # a reply may still be on its way, and it is not for the next user
            raise
        finally:
            await pool.release(connection)

    def _quiet_streams(self, group: str) -> list[str]:
        return [name for name, its in self.groups.items() if its == group and self._hot.get(name, 0) < STEADY]

    async def _sleep(self, group: str) -> None:
        """Watch the quiet streams of a group."""
        while not self.closing:
            streams = self._quiet_streams(group)
            if not streams or self._waiting >= WAITING:
                self._taken.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._block_ms / 1000):
                        await self._taken.wait()
                continue
            try:
                found = await self._xreadgroup(group, streams, 1, block_ms=self._block_ms)
            except (*LOST, ResponseError) as error:
                self._doubt.arise()  # a reply that was lost has made entries ours
                logger.warning("%s: quiet streams cannot be read (%s); again in 0.2 s.", group, error)
                self._taken.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await self._taken.wait()
                continue
            for stream, entries in found:
                if stream in self.groups:
                    self._hot.setdefault(stream, 0)
                self._inbox.append((stream, entries))
                self._waiting += len(entries)
            if found:
                self._arrived.set()
                self._heated.set()

    def _take_inbox(self) -> list[tuple[str, list[Any]]]:
        taken, self._inbox, self._waiting = self._inbox, [], 0
        self._arrived.clear()
        self._taken.set()
        return taken

    async def close(self) -> list[tuple[str, list[Any]]]:
        """Stop reading; returns what sleepers had been given and nobody took: it must still be answered."""
        self.closing = True
        self._taken.set()
        self._heated.set()
        self._arrived.set()
        await asyncio.gather(*self._sleepers.values(), return_exceptions=True)
        return self._take_inbox()
