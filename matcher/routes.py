"""Where requests for a label go: read from Redis every so often for the labels in use."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import msgpack
from redis.exceptions import ConnectionError as Lost

from matcher import keys
from matcher.line import Line

logger = logging.getLogger(__name__)

LENIENT_S = 3.0
"""Seconds after Redis came back for which a label that was served is believed to be served still: matchers need
a moment to announce themselves again."""

SHORTEST_S = 0.05
"""Least seconds between two looks, however many wait for one."""

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
    retired: bool
    held: set[int] = field(default_factory=set)

    @property
    def missing(self) -> tuple[int, ...]:
        """Shards that nobody holds."""
        return tuple(sorted(set(range(self.shards)) - self.held))


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
        self._holders: dict[str, dict[str, Holders]] = {}

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
        route = _route((index_id or b"").decode(), self._holders[label], int(waiting or 0))
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
            self._bodies, self._holders = bodies, held(bodies)
        holders = self._holders
        routes = {
            label: _route((index_id or b"").decode(), holders.get(label, {}), int(waiting or 0))
            for label, index_id, waiting in zip(labels, values[: len(labels)], values[len(labels) :], strict=True)
        }
        if time.monotonic() < self._lenient_until:
            routes = {
                label: route if route.index_id else self.known.get(label, route) for label, route in routes.items()
            }
        self.known = routes


def held(announcements: list[bytes | None]) -> dict[str, dict[str, Holders]]:
    """Holders by label and index id, from announcements as they lie in Redis; None = lapsed."""
    found: dict[str, dict[str, Holders]] = {}
    for body in filter(None, announcements):
        try:
            for one in msgpack.unpackb(body)["indexes"]:
                of_label = found.setdefault(one["label"], {})
                holders = of_label.setdefault(one["index_id"], Holders(one["dim"], one["shards"], retired=True))
                holders.held.add(one["shard"])
                holders.retired &= bool(one.get("retired"))
        except (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException) as error:
            logger.warning("An announcement is not of the protocol (%r): %r.", error, body[:80])
    return found


def _route(serving: str, indexes: dict[str, Holders], backlog: int) -> Route:
    """The index that serves; one that is held where Redis has lost the word, or nobody holds what it names."""
    whole_first = sorted(indexes, key=lambda index_id: (indexes[index_id].retired, indexes[index_id].missing, index_id))
    for index_id in (serving, *whole_first):
        if index_id in indexes:
            return Route(index_id, indexes[index_id].dim, backlog, indexes[index_id].missing)
    return Route(backlog=backlog)
