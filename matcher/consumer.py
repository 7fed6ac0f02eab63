"""Reads requests from many streams: busy ones in large bites, quiet ones the moment something comes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import suppress

from redis.asyncio import Redis

from matcher.doubt import Doubt
from matcher.messages import NotOfTheProtocol, Request, parse
from matcher.reader import Entries, Reader
from matcher.sleepers import COUNT, PER_READ, WAITING, Sleepers

Bad = tuple[str, bytes, Sequence[bytes], str]
"""Stream, entry, fields and why it is none of ours."""


class Consumer:
    """One consumer of consumer groups on a changing set of streams.

    Streams that have more than a blocking read brings are *hot*: each turn reads them without blocking,
    `budget` entries over all of them in fair rotation, until one has nothing.  The others are covered by
    blocking reads, so a flooded label never hides a quiet one and a thousand quiet ones cost nothing.
    """

    def __init__(self, redis: Redis, name: str, block_ms: int, doubt: Doubt) -> None:
        self.name = name
        self._reader = Reader(redis, name)
        self._block_ms = block_ms
        self.groups = self._reader.groups
        """Stream → group."""
        self.hot: dict[str, None] = {}
        self._inbox: Entries = []
        self._waiting = 0
        self._arrived = asyncio.Event()
        self._heated = asyncio.Event()
        self._sleepers = Sleepers(self._reader, self.hot.keys(), block_ms, doubt, self._deliver)
        self._rotation = itertools.count()
        self.closing = False

    @property
    def busy(self) -> bool:
        """Whether something was read and not taken, or more is known to be there."""
        return bool(self._inbox or self.hot)

    async def join(self, stream: str, group: str) -> None:
        """Read a stream from now on; its group begins at the stream's first entry."""
        await self._reader.create([stream], group)
        self.groups[stream] = group
        self._sleepers.add(stream, group)

    def leave(self, stream: str) -> None:
        """Stop reading a stream."""
        self.groups.pop(stream, None)
        self.hot.pop(stream, None)
        self._sleepers.remove(stream)

    async def read(self, budget: int) -> tuple[list[Request], list[Bad]]:
        """What hot streams have, waiting up to the blocking time for one to become so; empty when idle or closing."""
        if not self.hot and not self.closing:
            self._heated.clear()
            await self._wait(self._heated)
        return self.parsed(await self._read_hot(budget))

    async def quiet(self) -> tuple[list[Request], list[Bad]]:
        """What came from quiet streams, waiting for it up to the blocking time; empty when idle or closing."""
        if not self._inbox and not self.closing:
            await self._wait(self._arrived)
        return self.parsed(self._take())

    async def _wait(self, event: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._block_ms / 1000):
                await event.wait()

    def parsed(self, raw: Entries) -> tuple[list[Request], list[Bad]]:
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

    async def _read_hot(self, budget: int) -> Entries:
        streams = list(self.hot)
        if not streams:
            return []
        start = next(self._rotation) * PER_READ % len(streams)
        chosen = (streams + streams)[start : start + min(PER_READ, len(streams))]
        found = await self._reader.take(chosen, max(1, budget // len(chosen)))
        gave = {stream for stream, _ in found}
        calm = [stream for stream in chosen if stream not in gave]
        for stream in calm:
            self.hot.pop(stream, None)
        self._sleepers.cover(calm)
        return found

    def _deliver(self, found: Entries) -> None:
        """What a blocking read brought."""
        for stream, entries in found:
            if len(entries) >= COUNT and stream in self.groups:
                self.hot[stream] = None
                self._heated.set()
            self._inbox.append((stream, entries))
            self._waiting += len(entries)
        if found:
            self._arrived.set()
        if self._waiting >= WAITING:
            self._sleepers.room.clear()

    def _take(self) -> Entries:
        taken, self._inbox, self._waiting = self._inbox, [], 0
        self._arrived.clear()
        self._sleepers.room.set()
        return taken

    def in_inbox(self) -> set[tuple[str, bytes]]:
        """Stream and entry of what was read and not taken."""
        return {(stream, entry) for stream, entries in self._inbox for entry, _ in entries}

    async def close(self) -> Entries:
        """Stop reading; returns what sleepers had been given and nobody took: it must still be answered."""
        self.closing = True
        self._arrived.set()
        self._heated.set()
        await self._sleepers.close()
        return self._take()
