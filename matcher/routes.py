"""Where requests for a label go: read from Redis every so often for the labels in use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgpack

from matcher import keys
from matcher.line import Line

LENIENT_S = 3.0
"""Seconds after Redis came back for which a label that was served is believed to be served still: matchers need
a moment to announce themselves again."""

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


@dataclass(slots=True)
class Holders:
    """Who holds an index, from the announcements."""

    dim: int
    shards: int
    held: set[int] = field(default_factory=set)


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

    async def of(self, label: str) -> Route:
        """The route of a label; waits for Redis when the label is new."""
        route = self.known.get(label)
        while route is None:
            self._used[label] = time.monotonic()
            await self.refresh()
            route = self.known.get(label)
        return route

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
        """Look every `refresh_s`, sooner when asked to, but not more than twenty times as often."""
        while True:
            self._wake.clear()
            due = len(self._waiters)
            await self._look(line)
            for waiter in self._waiters[:due]:
                if not waiter.done():
                    waiter.set_result(None)
            del self._waiters[:due]
            self._refreshed()
            await asyncio.sleep(self._refresh_s / 20)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._refresh_s * 0.95):
                    await self._wake.wait()

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
        holders = held(bodies)
        routes = {
            label: _route(index_id, holders.get((label, (index_id or b"").decode())), int(waiting or 0))
            for label, index_id, waiting in zip(labels, values[: len(labels)], values[len(labels) :], strict=True)
        }
        if time.monotonic() < self._lenient_until:
            routes = {label: route if route.index_id else self.known.get(label, route) for label, route in routes.items()}
        self.known = routes


def held(announcements: list[bytes | None]) -> dict[tuple[str, str], Holders]:
    """Holders by label and index id, from announcements as they lie in Redis; None = lapsed."""
    found: dict[tuple[str, str], Holders] = {}
    for body in announcements:
        indexes: list[dict[str, Any]] = msgpack.unpackb(body)["indexes"] if body else []
        for one in indexes:
            key = (one["label"], one["index_id"])
            found.setdefault(key, Holders(one["dim"], one["shards"])).held.add(one["shard"])
    return found


def _route(index_id: bytes | None, holders: Holders | None, backlog: int) -> Route:
    if not index_id or holders is None:
        return Route(backlog=backlog)
    missing = tuple(sorted(set(range(holders.shards)) - holders.held))
    return Route(index_id.decode(), holders.dim, backlog, missing)

