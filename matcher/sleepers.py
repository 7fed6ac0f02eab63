"""Blocking reads that cover every quiet stream at every moment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from redis.exceptions import ResponseError

from matcher.doubt import Doubt
from matcher.keys import Feed
from matcher.reader import LOST, Entries, Reader

logger = logging.getLogger(__name__)

PER_READ = 64
"""Streams of one read.  A read is sent again after each arrival, so fewer streams make an arrival cheaper."""

COUNT = 4
"""Entries of one quiet stream that a blocking read brings; one that has as many is busy."""

LONGEST_MS = 500
"""Longest blocking read; with many reads each sleeps longer, so that idling costs the same with a thousand streams."""

BRIDGES = 16
"""Most reads beside those of the sets."""

WAITING = 256
"""Entries that may wait to be taken before the sleepers pause."""


@dataclass(slots=True, eq=False)
class Bed:
    """A set of feeds of one group that are read together."""

    group: str
    feeds: dict[Feed, None] = field(default_factory=dict)
    asleep: frozenset[Feed] = frozenset()
    """What the blocking read under way covers."""
    stir: asyncio.Event = field(default_factory=asyncio.Event)
    """Wakes a bed that has nothing to read."""


class Sleepers:
    """Keeps a blocking read on every stream that is not hot.

    A stream that stops being hot is not in the read of its set, which is blocked without it; until that
    read is sent again a *bridge*, a read of its own, covers it.  Two reads may cover one stream: an entry
    goes to one of them.
    """

    def __init__(
        self, reader: Reader, hot: Collection[Feed], block_ms: int, doubt: Doubt, deliver: Callable[[Entries], None]
    ) -> None:
        self._reader = reader
        self._hot = hot
        self._block_ms = block_ms
        self._doubt = doubt
        self._deliver = deliver
        self._beds: dict[str, list[Bed]] = {}
        self._bed_of: dict[Feed, Bed] = {}
        self._bridged: set[Feed] = set()
        self._bare: dict[str, set[Feed]] = {}
        """Of the bridged, by group, those that no bridge reads yet."""
        self._bridges = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()
        self.room = asyncio.Event()
        """Cleared while enough waits to be taken."""
        self.room.set()

    def add(self, feed: Feed) -> None:
        """Cover a feed from now on."""
        if feed in self._bed_of:
            return
        beds = self._beds.setdefault(feed.group, [])
        bed = next((one for one in beds if len(one.feeds) < PER_READ), None)
        if bed is None:
            bed = Bed(feed.group)
            beds.append(bed)
            self._start(self._rest(bed), f"sleeper {feed.group} {len(beds)}")
        bed.feeds[feed] = None
        self._bed_of[feed] = bed
        self.cover([feed])

    def remove(self, feed: Feed) -> None:
        """Cover a feed no more."""
        if bed := self._bed_of.pop(feed, None):
            del bed.feeds[feed]

    def cover(self, feeds: Iterable[Feed]) -> None:
        """Read feeds that are in no read under way."""
        for feed in feeds:
            bed = self._bed_of.get(feed)
            if bed is None or feed in bed.asleep or feed in self._bridged:
                continue
            if bed.asleep:
                self._bridged.add(feed)
                self._bare.setdefault(bed.group, set()).add(feed)
            else:
                bed.stir.set()  # it is about to be read
        for group, bare in self._bare.items():
            if bare and self._bridges < BRIDGES:
                self._bridges += 1
                self._start(self._bridge(group), f"bridge {group}")

    def _start(self, work: object, name: str) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _rest(self, bed: Bed) -> None:
        """Read a set again and again."""
        while not self._closing.is_set():
            await self.room.wait()
            bed.stir.clear()
            bed.asleep = frozenset(feed for feed in bed.feeds if feed not in self._hot)
            if bed.asleep:
                sets = sum(len(beds) for beds in self._beds.values())
                await self._sleep(bed.group, bed.asleep, min(LONGEST_MS, self._block_ms * sets))
                bed.asleep = frozenset()
            else:
                await bed.stir.wait()

    async def _bridge(self, group: str) -> None:
        """Read streams until the read of their set covers them, or they are hot again."""
        mine: set[Feed] = set()
        while not self._closing.is_set():
            mine |= self._bare.pop(group, set())
            over = {feed for feed in mine if self._covered(feed)}
            self._bridged -= over
            mine -= over
            if not mine:
                break
            await self.room.wait()
            await self._sleep(group, mine, self._block_ms)
        self._bridges -= 1

    def _covered(self, feed: Feed) -> bool:
        bed = self._bed_of.get(feed)
        return bed is None or feed in self._hot or feed in bed.asleep

    async def _sleep(self, group: str, feeds: Collection[Feed], block_ms: int) -> None:
        try:
            streams = tuple(feed.stream for feed in feeds)
            self._deliver(await self._reader.sleep(group, streams, COUNT, block_ms))
        except (*LOST, ResponseError) as error:
            self._doubt.arise()  # a reply that was lost has made entries ours
            logger.warning("%s: quiet streams cannot be read (%s); again in 0.2 s.", group, error)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await self._closing.wait()

    async def close(self) -> None:
        """Sleep no more; returns when the last read has ended, whose entries have been delivered."""
        self._closing.set()
        self.room.set()
        for beds in self._beds.values():  # also those that nothing is left in
            for bed in beds:
                bed.stir.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
