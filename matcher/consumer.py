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

WAITING = 256
"""Entries from quiet streams that may wait to be taken before the sleepers pause."""

Bad = tuple[str, bytes, Sequence[bytes], str]
"""Stream, entry, fields and why it is none of ours."""


class Consumer:
    """One consumer of consumer groups on a changing set of streams.

    Streams that gave something lately are *hot*: each turn reads them without blocking, `budget` entries
    over all of them in fair rotation.  The others are watched by one sleeping, blocking read per group with
    COUNT 1, so a flooded label never hides a quiet one and a thousand quiet ones cost nothing.
    """

    def __init__(self, redis: Redis, name: str, block_ms: int, doubt: Doubt) -> None:
        self.redis = redis
        self.name = name
        self._doubt = doubt
        self._block_ms = block_ms
        self.groups: dict[str, str] = {}
        """Stream → group."""
        self._hot: dict[str, None] = {}
        self._inbox: list[tuple[str, list[Any]]] = []
        self._waiting = 0
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._sleepers: dict[str, asyncio.Task[None]] = {}
        self._rotation = itertools.count()
        self.closing = False

    async def join(self, stream: str, group: str) -> None:
        """Read a stream from now on; its group begins at the stream's first entry."""
        await self._create(stream, group)
        self.groups[stream] = group
        if group not in self._sleepers:
            self._sleepers[group] = asyncio.create_task(self._sleep(group), name=f"sleeper {group}")

    def leave(self, stream: str) -> None:
        """Stop reading a stream."""
        self.groups.pop(stream, None)
        self._hot.pop(stream, None)

    async def _create(self, stream: str, group: str) -> None:
        try:
            await self.redis.xgroup_create(stream, group, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def read(self, budget: int) -> tuple[list[Request], list[Bad]]:
        """What there is to do now, waiting up to the blocking time when there is nothing; empty when idle or closing."""
        raw = await self._read_hot(budget)
        raw += self._take_inbox()
        if not raw and not self.closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._block_ms / 1000):
                    await self._arrived.wait()
            raw = self._take_inbox()
        return self.parsed(raw)

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
                self._hot.pop(stream, None)
        return found

    async def _xreadgroup(
        self, group: str, streams: list[str], count: int, *, block_ms: int | None
    ) -> list[tuple[str, list[Any]]]:
        blocking = () if block_ms is None else ("BLOCK", block_ms)
        command = (
            "XREADGROUP",
            "GROUP",
            group,
            self.name,
            "COUNT",
            count,
            *blocking,
            "STREAMS",
            *streams,
            *(">" for _ in streams),
        )
        try:
            reply: Any = await self.redis.execute_command(*command)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            for stream in streams:  # the server was wiped, or somebody destroyed the group: create and go on
                if stream in self.groups:
                    await self._create(stream, group)
            return []
        return [(stream.decode(), entries) for stream, entries in reply or ()]

    async def _sleep(self, group: str) -> None:
        """Watch the quiet streams of a group."""
        while not self.closing:
            streams = [stream for stream, its in self.groups.items() if its == group and stream not in self._hot]
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
                    self._hot[stream] = None
                self._inbox.append((stream, entries))
                self._waiting += len(entries)
            if found:
                self._arrived.set()

    def _take_inbox(self) -> list[tuple[str, list[Any]]]:
        taken, self._inbox, self._waiting = self._inbox, [], 0
        self._arrived.clear()
        self._taken.set()
        return taken

    async def close(self) -> list[tuple[str, list[Any]]]:
        """Stop reading; returns what sleepers had been given and nobody took: it must still be answered."""
        self.closing = True
        self._taken.set()
        self._arrived.set()
        await asyncio.gather(*self._sleepers.values(), return_exceptions=True)
        return self._take_inbox()
