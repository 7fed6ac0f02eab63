"""Reads the announcements of matchers: who holds what, how much each answers, when it last looked at the bucket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from manager.announced import Holders, Index, Matcher, holders_of, matcher_of, with_figures
from manager.connecting import reaching

MATCHERS = "lim:matchers"
"""Sorted set of matcher ids by when their announcement lapses; names and contents of the keys are those of the wire."""

FRESH_S = 0.5
"""Age up to which a look is not repeated: matchers announce twice a second."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What all matchers announced at one moment."""

    at: float = 0.0
    """Redis' clock, seconds since 1970."""
    matchers: tuple[Matcher, ...] = ()
    """Sorted by id."""
    holders: Mapping[Index, Holders] = field(default_factory=dict)

    def cannot_read(self, format_: int) -> tuple[Matcher, ...]:
        """Matchers that are too old for an index of this format."""
        return tuple(one for one in self.matchers if one.format < format_)

    def uses(self, label: str, index_id: str) -> tuple[str, ...]:
        """Ids of the matchers that hold an index, be it retired, or load it."""
        holders = self.holders.get((label, index_id))
        return () if holders is None else tuple(sorted({*holders.held_by, *holders.loading_by}))


class Matchers:
    """Reads Redis only when somebody asks; what is held is unpacked only when it changes, be it ten thousand labels."""

    def __init__(self, redis: Redis) -> None:
        """`redis` is that of the matchers, redis.url, with replies of bytes: connect(url, text=False)."""
        self._redis = redis
        self._bodies: dict[str, tuple[bytes, Matcher | None]] = {}
        self._held: tuple[object, ...] = ()
        self._seen = Seen()
        self._looked = -1e9
        self._turn = asyncio.Lock()

    async def look(self, fresh_s: float = FRESH_S) -> Seen:
        """What matchers announce, at most `fresh_s` old.  Raises Unavailable when Redis does not answer."""
        async with self._turn:
            if time.monotonic() - self._looked > fresh_s:
                with reaching(self._redis):
                    self._seen = await self._read()
                self._looked = time.monotonic()
        return self._seen

    async def asked(self, labels: Sequence[str]) -> dict[str, str]:
        """The index that requests for each label go to; labels that nobody serves are missing.  Raises Unavailable."""
        if not labels:
            return {}
        with reaching(self._redis):
            ids: list[Any] = await self._redis.mget([f"lim:serving:{label}" for label in labels])
        return {label: index_id.decode() for label, index_id in zip(labels, ids, strict=True) if index_id}

    async def _read(self) -> Seen:
        seconds, micros = await self._redis.time()
        at = seconds + micros / 1e6
        names: list[Any] = await self._redis.zrangebyscore(MATCHERS, at * 1000, "+inf")
        ids = sorted(name.decode() for name in names)
        keys = [f"lim:matcher:{one}" for one in ids] + [f"lim:matcher-figures:{one}" for one in ids]
        bodies: list[Any] = await self._redis.mget(keys) if keys else []
        before, self._bodies = self._bodies, {}
        for name, body in zip(ids, bodies, strict=False):
            if body is not None:
                known = before.get(name)
                self._bodies[name] = known if known and known[0] == body else (body, matcher_of(body))
        figures = dict(zip(ids, bodies[len(ids) :], strict=True))
        told = {name: matcher for name, (_, matcher) in self._bodies.items() if matcher is not None}
        found = tuple(with_figures(matcher, figures[name]) for name, matcher in told.items())
        return Seen(at, found, self._holders(found))

    def _holders(self, found: tuple[Matcher, ...]) -> Mapping[Index, Holders]:
        """Made anew only when something is held, or being loaded, that was not."""
        held = tuple((one.matcher_id, one.holdings, one.loading) for one in found)
        if held != self._held:
            self._held = held
            return holders_of(found)
        return self._seen.holders
