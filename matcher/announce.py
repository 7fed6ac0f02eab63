"""Announcements in Redis: what this matcher holds, who has stopped telling."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgpack
from redis.asyncio import Redis

from matcher import keys
from matcher.announced import Announced, announced
from matcher.held import Held, Place
from matcher.residency import Residency
from pipeline.artifact import FORMAT

MOVE = """
local now = redis.call('GET', KEYS[1])
if now == ARGV[2] then return 1 end
if (now == false and ARGV[1] == '') or now == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
  return 1
end
return 0
"""
"""Move the serving index from ARGV[1] ('' = none) to ARGV[2], unless somebody moved it meanwhile."""

POINTED_S = 900
"""Life of where a label points, unless a matcher that serves it prolongs it."""


CLAIM_MS = 5_000
"""Life of a claim; by then the announcement says what is being loaded."""


class Announcer:
    """Renews the announcement; knows Redis' clock and which matchers live."""

    def __init__(self, redis: Redis, matcher_id: str, residency: Residency, ttl_s: float) -> None:
        self._redis = redis
        self.id = matcher_id
        self._residency = residency
        self._ttl_s = ttl_s
        self._renewed = -1e9
        self._offset_ms = 0.0
        self.started = time.time()
        self._state: list[tuple[Place, bool]] | None = None
        self._packed = b""
        self.alive: set[str] = set()
        """Ids of the matchers whose announcement stands, this one included."""
        self.gone: set[str] = set()
        """Ids of those that lapsed and whose work has not been taken over yet."""
        self._move = redis.register_script(MOVE)
        self._turn = asyncio.Lock()
        self._withdrawn = False
        self._bodies: list[bytes | None] = []
        self._announced: Announced = {}
        self.tell: Callable[[], bytes] | None = None
        """What else is told of this matcher at each renewal, packed."""

    def stands(self) -> bool:
        """Whether our announcement has certainly not lapsed: measured from before it was sent."""
        return time.monotonic() - self._renewed < self._ttl_s

    def now_ms(self) -> float:
        """Redis' clock, milliseconds."""
        return time.monotonic() * 1000 + self._offset_ms

    async def renew(self) -> None:
        """Announce; notes who lapsed since the last time."""
        async with self._turn:
            if not self._withdrawn:
                await self._renew()

    async def _renew(self) -> None:
        began = time.monotonic()
        seconds, micros = await self._redis.time()
        self._offset_ms = seconds * 1000 + micros / 1000 - (began + time.monotonic()) / 2 * 1000
        ttl_ms = int(self._ttl_s * 1000)
        pipe = self._redis.pipeline(transaction=False)
        pipe.set(keys.announcement(self.id), self._body(), px=ttl_ms)
        pipe.zadd(keys.MATCHERS, {self.id: self.now_ms() + ttl_ms})
        pipe.zrangebyscore(keys.MATCHERS, self.now_ms(), "+inf")
        pipe.zremrangebyscore(keys.MATCHERS, "-inf", self.now_ms() - 3_600_000)
        if self.tell is not None:
            pipe.set(keys.figures(self.id), self.tell(), px=ttl_ms)
        _, _, alive, *_ = await pipe.execute()
        self._renewed = began
        now = {name.decode() for name in alive}
        self.gone = (self.gone | self.alive) - now
        self.alive = now

    def _body(self) -> bytes:
        """The packed announcement, made anew only when what is held has changed: a thousand labels take a while."""
        everything = self._residency.held.values()
        state = [(held.place, held.retired_at is None) for held in everything]
        state += [(place, False) for place in self._residency.loading]
        if state != self._state:
            self._state, self._packed = state, msgpack.packb(self._held(everything))
        return self._packed

    def _held(self, everything: Iterable[Held]) -> dict[str, Any]:
        indexes = []
        for held in everything:
            manifest = held.index.manifest
            indexes.append({
                **held.served, "rows": held.index.rows, "dim": held.index.dim, "descriptor_version": manifest.descriptor.version,
                "memory": held.index.memory.anonymous, "retired": held.retired_at is not None,
            })  # fmt: skip
        loading = [
            {
                "label": label, "index_id": index_id, "shard": shard, "shards": len(manifest.shards),
                "dim": manifest.descriptor.dim,
            }
            for (label, index_id, shard), manifest in self._residency.loading.items() if len(manifest.shards) > 1
        ]  # fmt: skip
        return {
            "id": self.id, "format": FORMAT, "protocol": keys.PROTOCOL, "started": self.started, "indexes": indexes,
            "loading": loading,
        }  # fmt: skip

    async def everybody(self) -> Announced:
        """What all matchers announce now, this one included."""
        ids: list[Any] = await self._redis.zrangebyscore(keys.MATCHERS, self.now_ms(), "+inf")
        bodies: list[Any] = await self._redis.mget([keys.announcement(name.decode()) for name in ids]) if ids else []
        if bodies != self._bodies:  # they seldom change
            self._bodies, self._announced = bodies, announced(bodies)
        return self._announced

    async def pointed(self, labels: Sequence[str]) -> list[str]:
        """The index that requests for each label go to; empty where none does."""
        ids: list[Any] = await self._redis.mget(list(map(keys.serving, labels)))
        return [(index_id or b"").decode() for index_id in ids]

    async def serve(self, label: str, before: str, index_id: str) -> bool:
        """Let requests for the label go to `index_id`, if they went to `before` until now."""
        return bool(await self._move(keys=[keys.serving(label)], args=[before, index_id, POINTED_S]))

    async def claim(self, place: Place) -> bool:
        """Whether the loading of a shard that nobody holds is ours; for as long as it takes to announce that we load it."""
        return bool(await self._redis.set(keys.claim(*place), self.id, nx=True, px=CLAIM_MS))

    async def withdraw(self) -> None:
        """Say at once that we are gone, so that clients and take-over need not wait for the lapse."""
        async with self._turn:
            self._withdrawn = True
            pipe = self._redis.pipeline(transaction=False)
            pipe.delete(keys.announcement(self.id), keys.figures(self.id))
            pipe.zrem(keys.MATCHERS, self.id)
            await pipe.execute()
