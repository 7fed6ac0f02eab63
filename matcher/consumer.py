"""Reads requests from many streams: busy ones in large bites, quiet ones the moment something comes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import suppress

from redis.asyncio import Redis

from matcher.doubt import Doubt
from matcher.keys import Feed
from matcher.messages import NotOfTheProtocol, Request, parse
from matcher.reader import Entries, Reader
from matcher.sleepers import COUNT, PER_READ, WAITING, Sleepers

Bad = tuple[Feed, bytes, Sequence[bytes], str]
"""Feed, entry, fields and why it is none of ours."""


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
        self.feeds = self._reader.feeds
        """What is read."""
        self.hot: dict[Feed, None] = {}
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

    async def join(self, feed: Feed) -> None:
        """Read a feed from now on; its group begins at the stream's first entry."""
        await self._reader.create([feed])
        self.feeds[feed] = None
        self._sleepers.add(feed)

    def leave(self, feed: Feed) -> None:
        """Stop reading a feed."""
        self.feeds.pop(feed, None)
        self.hot.pop(feed, None)
        self._sleepers.remove(feed)

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
        for feed, entries in raw:
            stream, group = feed
            for entry, flat in entries:
                try:
                    requests.append(parse(stream, entry, flat or (), group))
                except NotOfTheProtocol as error:
                    bad.append((feed, entry, flat or (), str(error)))
        return requests, bad

    async def _read_hot(self, budget: int) -> Entries:
        feeds = list(self.hot)
        if not feeds:
            return []
        start = next(self._rotation) * PER_READ % len(feeds)
        chosen = (feeds + feeds)[start : start + min(PER_READ, len(feeds))]
        found = await self._reader.take(chosen, max(1, budget // len(chosen)))
        gave = {feed for feed, _ in found}
        calm = [feed for feed in chosen if feed not in gave]
        for feed in calm:
            self.hot.pop(feed, None)
        self._sleepers.cover(calm)
        return found

    def _deliver(self, found: Entries) -> None:
        """What a blocking read brought."""
        for feed, entries in found:
            if len(entries) >= COUNT and feed in self.feeds:
                self.hot[feed] = None
                self._heated.set()
            self._inbox.append((feed, entries))
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

    def in_inbox(self) -> set[tuple[Feed, bytes]]:
        """Feed and entry of what was read and not taken."""
        return {(feed, entry) for feed, entries in self._inbox for entry, _ in entries}

    async def close(self) -> Entries:
        """Stop reading; returns what sleepers had been given and nobody took: it must still be answered."""
        self.closing = True
        self._arrived.set()
        self._heated.set()
        await self._sleepers.close()
        return self._take()
