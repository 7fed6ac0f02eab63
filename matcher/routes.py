"""Where requests for a label go: read from Redis every so often for the labels in use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from redis.exceptions import ConnectionError as Lost

from matcher import keys
from matcher.announced import Announced, Holders, announced
from matcher.errors import NoIndex
from matcher.line import Line
from matcher.question import Question

LENIENT_S = 3.0
"""Seconds after Redis came back for which a label that was served is believed to be served still: matchers need
a moment to announce themselves again."""

SHORTEST_S = 0.05
"""Least seconds between two looks, however many wait for one."""

PATIENCE_S = 10.0
"""Seconds for which a shard that nobody holds is waited for: a holder that died lapses after two, and then another
matcher sees it and begins to load."""

IDLE_S = 60.0
"""Seconds after its last use for which a label is still looked up."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a client knows of a label."""

    index_id: str = ""
    """The index that serves; empty when none does."""
    dim: int = 0
    """Dimension of its descriptors; 0 when not known."""
    backlog: int = 0
    """Requests that wait for it."""
    missing: tuple[int, ...] = ()
    """Shards that nobody holds."""
    shards: int = 1
    """Shards of the index."""
    lost: tuple[int, ...] = ()
    """Shards that nobody has held or been loading for `PATIENCE_S`."""

    def check(self, label: str, question: Question) -> None:
        """Raise NoIndex unless the label is served, or will be again in a moment."""
        if not self.index_id:
            raise NoIndex(
                f"nobody serves label {label!r}: publish an index for it (`lim build`) and start a matcher (`lim matcher`)"
            )
        if self.lost and not question.allow_partial:
            raise NoIndex(
                f"label {label!r}: nobody serves shards {list(self.lost)} of index {self.index_id}: start more matchers"
            )


class Routes:
    """The routes of the labels in use, never older than `refresh_s` while Redis is there."""

    def __init__(self, refresh_s: float, refreshed: Callable[[], None]) -> None:
        self.known: dict[str, Route] = {}
        self._refresh_s = refresh_s
        self._refreshed = refreshed
        self._used: dict[str, float] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._lenient_until = 0.0
        self._line: Line | None = None
        """Where questions go; one that broke says so."""
        self._bodies: list[bytes | None] = []
        self._holders: Announced = {}
        self._absent: dict[tuple[str, str, int], float] = {}
        """When a shard was first seen to be held and loaded by nobody."""

    async def of(self, label: str) -> Route:
        """The route of a label; asks Redis when the label is new, as long as that takes."""
        self._used[label] = time.monotonic()
        if label not in self.known and label in self._holders and self._line is not None:
            with suppress(Lost):  # one question about one label: a thousand new ones do not wait for a look each
                await self._meet(label, self._line)
        while label not in self.known:
            await self.refresh()
            self._used[label] = time.monotonic()
        return self.known[label]

    def use(self, label: str) -> Route | None:
        """The route of a label that is known already."""
        if label in self.known:
            self._used[label] = time.monotonic()
            return self.known[label]
        return None

    async def refresh(self) -> None:
        """Wait for a look that begins after now."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake.set()
        await waiter

    def resumed(self) -> None:
        """Redis is back, perhaps without what it knew."""
        self._lenient_until = time.monotonic() + LENIENT_S

    def hurry(self) -> None:
        """Look again soon."""
        self._wake.set()

    async def run(self, line: Line) -> None:
        """Look every `refresh_s`, and when asked to."""
        self._line = line
        while True:
            self._wake.clear()
            due = len(self._waiters)
            await self._look(line)
            for waiter in self._waiters[:due]:
                if not waiter.done():
                    waiter.set_result(None)
            del self._waiters[:due]
            self._refreshed()
            await asyncio.sleep(min(SHORTEST_S, self._refresh_s))
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0, self._refresh_s - SHORTEST_S)):
                    await self._wake.wait()

    async def _meet(self, label: str, line: Line) -> None:
        index_id, waiting = await line.call("MGET", keys.serving(label), keys.backlog(label))
        route = self._route(label, (index_id or b"").decode(), int(waiting or 0))
        if route.index_id == (index_id or b"").decode():
            self.known[label] = route

    async def _look(self, line: Line) -> None:
        oldest = time.monotonic() - IDLE_S
        self._used = {label: at for label, at in self._used.items() if at > oldest}
        labels = list(self._used)
        names = [keys.serving(label) for label in labels] + [keys.backlog(label) for label in labels]
        ids, values = await asyncio.gather(
            line.call("ZRANGE", keys.MATCHERS, 0, -1), line.call("MGET", keys.MATCHERS + ":none", *names)
        )
        values = values[1:]
        bodies = await line.call("MGET", *(keys.announcement(name.decode()) for name in ids)) if ids else []
        if bodies != self._bodies:  # they seldom change, and with a thousand labels they are long
            self._bodies, self._holders = bodies, announced(bodies)
        routes = {
            label: self._route(label, (index_id or b"").decode(), int(waiting or 0))
            for label, index_id, waiting in zip(labels, values[: len(labels)], values[len(labels) :], strict=True)
        }
        if time.monotonic() < self._lenient_until:
            routes = {
                label: route if route.index_id else self.known.get(label, route) for label, route in routes.items()
            }
        self.known = routes

    def _route(self, label: str, serving: str, backlog: int) -> Route:
        """The index that serves; one that is held whole where Redis has lost the word, or nobody holds what it names."""
        indexes = self._holders.get(label, {})
        chosen = indexes.get(serving)
        if chosen is None or not (chosen.held or chosen.loading):
            whole = [index_id for index_id, one in indexes.items() if one.held and not one.missing]
            if not whole:
                return Route(backlog=backlog)
            serving = min(whole, key=lambda index_id: (indexes[index_id].retired, index_id))
            chosen = indexes[serving]
        missing = chosen.missing
        lost = self._lost(label, serving, chosen) if missing or self._absent else ()
        return Route(serving, chosen.dim, backlog, missing, chosen.shards, lost)

    def _lost(self, label: str, index_id: str, holders: Holders) -> tuple[int, ...]:
        """Shards whose holder is gone for good; until then requests wait for the one that takes its place."""
        absent = [shard for shard in holders.missing if not holders.loading.get(shard)]
        now = time.monotonic()
        for key in [key for key in self._absent if key[:2] == (label, index_id) and key[2] not in absent]:
            del self._absent[key]
        since = {shard: self._absent.setdefault((label, index_id, shard), now) for shard in absent}
        return tuple(shard for shard in absent if now - since[shard] > PATIENCE_S)
