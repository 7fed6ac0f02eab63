"""Publishes how much is waiting, trims what has been answered, lets vanish what nobody holds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from matcher import keys
from matcher.keys import Feed

logger = logging.getLogger(__name__)

BACKLOG_TTL_MS = 3_000

BITE = 256
"""Entries trimmed at a time: the server does nothing else meanwhile, and 20,000 took it 60 to 350 ms."""

PAUSE_S = 0.002
"""Between two bites others have their turn."""

AT_ONCE = 50
"""Streams looked at in one round trip."""

KEPT_S = 900
"""Least life of a stream, and of where its label points, without a matcher that holds it."""

RENEW_S = 60.0
"""How often that life is prolonged."""

LOOK = """
local function less(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end
local function id(text)
  local ms, number = string.match(text, '^(%d+)%-(%d+)$')
  return {tonumber(ms), tonumber(number)}
end
local found = {}
for number, stream in ipairs(KEYS) do
  local orphan = {}
  for name in string.gmatch(ARGV[3 + number], '%S+') do orphan[name] = true end
  local groups, most, least = redis.pcall('XINFO', 'GROUPS', stream), 0, nil
  if groups.err then groups = {} end
  for _, group in ipairs(groups) do
    local of = {}
    for i = 1, #group, 2 do of[group[i]] = group[i + 1] end
    local first = id(of['last-delivered-id'])
    if of['pending'] > 0 then first = id(redis.call('XPENDING', stream, of['name'])[2]) end
    local ours = of['name'] == ARGV[1] or string.match(of['name'], '^shard%-%d+$')
    if ours and not orphan[of['name']] then
      most = math.max(most, of['pending'] + (of['lag'] or 0))
    elseif less(first, {tonumber(ARGV[2]), 0}) then
      first = {tonumber(ARGV[2]), 0}
    end
    if least == nil or less(first, least) then least = first end
  end
  local rest = ''
  if least then
    local below = string.format('%.0f-%.0f', least[1], least[2])
    if redis.call('XTRIM', stream, 'MINID', '~', below, 'LIMIT', ARGV[3]) > ARGV[3] / 2 then
      rest = below
    else
      redis.call('XTRIM', stream, 'MINID', below)
    end
  end
  found[number] = {most, rest}
end
return found
"""
"""For each stream: trim what every group has acknowledged (below its first pending, else its last delivered).
A group that is none of ours, or of a shard that nobody holds, keeps entries only as long as they can be answered.
Returns the most that waits for any group, and below which entry there is more to trim."""


class Housekeeping:
    """Looks at streams that were read since the last time; a quiet one has neither backlog nor anything to trim."""

    def __init__(self, redis: Redis, group: str, max_ttl_ms: int, kept_s: float = KEPT_S) -> None:
        self._redis = redis
        self._group = group
        self._max_ttl_ms = max_ttl_ms
        self._look = redis.register_script(LOOK)
        self._touched: set[tuple[str, str]] = set()
        self._held: set[str] = set()
        self._renewed = 0.0
        self._kept_s = max(kept_s, 2 * max_ttl_ms / 1000)
        self._orphaned: dict[Feed, float] = {}
        """Groups of shards that nobody holds, with the monotonic time since when."""
        self.backlog: dict[str, int] = {}
        """Waiting requests by label, as last published."""

    def touched(self, stream: str, label: str) -> None:
        """Something was read from a stream."""
        self._touched.add((stream, label))

    def waiting_in(self, stream: str) -> bool:
        """Whether the last look found something unanswered in a stream, or something was read since."""
        return any(one == stream for one, _ in self._touched)

    async def bereave(self, orphans: Collection[Feed]) -> None:
        """Take note of the groups of shards that nobody holds; those that stay so for long are destroyed.

        Until then a stand-by finds in them what its predecessor left behind.
        """
        now = time.monotonic()
        self._orphaned = {feed: self._orphaned.get(feed, now) for feed in orphans}
        for feed, since in list(self._orphaned.items()):
            if now - since > self._kept_s:
                try:
                    await self._redis.xgroup_destroy(*feed)
                except ResponseError as error:
                    logger.info("%s: its group %s is gone already (%s).", *feed, error)

    async def run(self, now_ms: float) -> None:
        """Publish the backlog of touched streams and trim them."""
        streams, self._touched = self._touched, set()
        rests: dict[str, bytes] = {}
        waiting: dict[str, int] = dict.fromkeys(self.backlog, 0)
        for part in _parts(streams):
            oldest = int(now_ms) - self._max_ttl_ms
            orphans = [" ".join(feed.group for feed in self._orphaned if feed.stream == stream) for stream, _ in part]
            found = await self._look(keys=[stream for stream, _ in part], args=[self._group, oldest, BITE, *orphans])
            for (stream, label), (behind, rest) in zip(part, found, strict=True):
                if rest:
                    rests[stream] = rest
                waiting[label] = max(waiting.get(label, 0), behind)
                if behind:
                    self._touched.add((stream, label))  # look again, also if nothing is read meanwhile
        await self._publish(waiting)
        for stream, below in rests.items():
            await self._trim(stream, below)

    async def _trim(self, stream: str, below: bytes) -> None:
        """Go on in bites of whole nodes of the stream; the last is exact, for what shares a node with the living."""
        removed = BITE
        while removed > BITE // 2:
            await asyncio.sleep(PAUSE_S)
            removed = await self._redis.xtrim(stream, minid=below, approximate=True, limit=BITE)
        await self._redis.xtrim(stream, minid=below, approximate=False)

    async def _publish(self, waiting: dict[str, int]) -> None:
        changed = {label: count for label, count in waiting.items() if count or label in self.backlog}
        if changed:
            pipe = self._redis.pipeline(transaction=False)
            for label, count in changed.items():
                if count:
                    pipe.set(keys.backlog(label), count, px=BACKLOG_TTL_MS)
                else:
                    pipe.delete(keys.backlog(label))
            await pipe.execute()
        self.backlog = {label: count for label, count in waiting.items() if count}

    async def hold(self, names: Iterable[str]) -> None:
        """Prolong the life of what we hold; the streams of an index that nobody holds any more vanish by themselves."""
        held = set(names)
        due = time.monotonic() - self._renewed > RENEW_S
        for part in _parts(held if due else held - self._held):
            pipe = self._redis.pipeline(transaction=False)
            for name in part:
                pipe.expire(name, int(self._kept_s))
            await pipe.execute()
        self._held = held
        if due:
            self._renewed = time.monotonic()


Item = TypeVar("Item")


def _parts(items: Iterable[Item]) -> Iterator[list[Item]]:
    left = iter(list(items))
    while part := list(islice(left, AT_ONCE)):
        yield part
