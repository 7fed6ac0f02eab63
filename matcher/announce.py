"""Announcements in Redis: what this matcher holds, who has stopped telling."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import msgpack
from redis.asyncio import Redis

from matcher import keys
from matcher.residency import Held, Residency
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
        self._state: list[tuple[str, bool]] | None = None
        self._packed = b""
        self.alive: set[str] = set()
        """Ids of the matchers whose announcement stands, this one included."""
        self.gone: set[str] = set()
        """Ids of those that lapsed and whose work has not been taken over yet."""
        self._move = redis.register_script(MOVE)
        self._turn = asyncio.Lock()
        self._withdrawn = False

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
        _, _, alive, _ = await pipe.execute()
        self._renewed = began
        now = {name.decode() for name in alive}
        self.gone = (self.gone | self.alive) - now
        self.alive = now

    def _body(self) -> bytes:
        """The packed announcement, made anew only when what is held has changed: a thousand labels take a while."""
        everything = (*self._residency.current.values(), *self._residency.retired.values())
        state = [(held.index_id, held.retired_at is None) for held in everything]
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
        return {"id": self.id, "format": FORMAT, "protocol": keys.PROTOCOL, "started": self.started, "indexes": indexes}

    async def serve(self, label: str, index_id: str) -> bool:
        """Let requests for the label go to `index_id`; False when somebody else moved it at the same moment."""
        before = await self._redis.get(keys.serving(label)) or b""
        return bool(await self._move(keys=[keys.serving(label)], args=[before, index_id, POINTED_S]))

    async def withdraw(self) -> None:
        """Say at once that we are gone, so that clients and take-over need not wait for the lapse."""
        async with self._turn:
            self._withdrawn = True
            pipe = self._redis.pipeline(transaction=False)
            pipe.delete(keys.announcement(self.id))
            pipe.zrem(keys.MATCHERS, self.id)
            await pipe.execute()
