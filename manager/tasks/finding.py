"""Looks tasks up, a page at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from redis.asyncio import Redis

from manager.errors import BadRequest
from manager.tasks import keys
from manager.tasks.replies import read
from manager.tasks.script import Script
from manager.tasks.task import Status, Task

SCANNED = 500
"""Tasks that one call of the script looks at: it keeps the server for a millisecond or so."""

GOT = Script("""
local found = {}
for i, id in ipairs(ARGV) do found[i] = redis.call('HGETALL', TASK .. id) end
return found
""")

FIND = Script("""
-- sorted set, id after which the page begins ('' = the newest), its creation, most tasks, most looked at, from, before,
-- indexer, statuses as JSON.  Newest first.  Answers: where to go on ('' = there are no more), its creation, the tasks.
local set, most, looked = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[5])
local first = 0
if ARGV[2] ~= '' then
  local rank = redis.call('ZREVRANK', set, ARGV[2])
  -- a task that was forgotten meanwhile leaves its time
  first = rank and rank + 1 or redis.call('ZCOUNT', set, ARGV[3], '+inf')
end
if ARGV[7] ~= '' then first = math.max(first, redis.call('ZCOUNT', set, ARGV[7], '+inf')) end
local statuses, from, found = cjson.decode(ARGV[9]), tonumber(ARGV[6]), {}
local some = redis.call('ZREVRANGE', set, first, first + looked - 1, 'WITHSCORES')
for i = 1, #some, 2 do
  if tonumber(some[i + 1]) < from then return {'', '', found} end
  local f = redis.call('HMGET', TASK .. some[i], 'status', 'indexer')
  if f[1] and (not next(statuses) or statuses[f[1]]) and (ARGV[8] == '' or f[2] == ARGV[8]) then
    found[#found + 1] = redis.call('HGETALL', TASK .. some[i])
    if #found == most then return {some[i], some[i + 1], found} end
  end
end
if #some < 2 * looked then return {'', '', found} end
return {some[#some - 1], some[#some], found}
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which tasks: all of what is given must fit; times are seconds since 1970 of the submission, 0 = whenever."""

    task_ids: tuple[str, ...] = ()
    statuses: tuple[Status, ...] = ()
    created_from: float = 0.0
    created_before: float = 0.0
    indexer: str = ""
    label: str = ""

    def fits(self, task: Task) -> bool:
        """Whether a task is one of them."""
        return (
            task.created >= self.created_from
            and (not self.created_before or task.created < self.created_before)
            and (not self.statuses or task.status in self.statuses)
            and self.indexer in ("", task.indexer)
            and self.label in ("", task.label)
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Tasks, newest first, with the cursor of the next page; empty = there is none."""

    tasks: list[Task] = field(default_factory=list)
    next: str = ""


async def find(redis: Redis, wanted: Wanted, limit: int, cursor: str = "") -> Page:
    """At most `limit` tasks; raises BadRequest for a cursor that no page gave, RedisError."""
    if limit < 1:
        raise BadRequest(f"limit: expected 1 or more, got {limit}")
    if wanted.task_ids:
        return _named(await get(redis, wanted.task_ids), wanted, limit, cursor)
    after, created = _read(cursor)
    found: list[Task] = []
    while True:
        after, created, some = await FIND.run(
            redis, _among(wanted), after, created, limit - len(found), SCANNED, repr(wanted.created_from),
            repr(wanted.created_before) if wanted.created_before else "", wanted.indexer,
            json.dumps(dict.fromkeys(wanted.statuses, True)),
        )  # fmt: skip
        found += [read(flat) for flat in some]
        if not after or len(found) == limit:
            return Page(found, f"{created}:{after}" if after else "")


async def get(redis: Redis, task_ids: Iterable[str]) -> list[Task]:
    """The tasks of these ids that there are, in this order; raises RedisError."""
    ids = list(task_ids)
    return [read(flat) for flat in await GOT.run(redis, *ids) if flat] if ids else []


def _named(tasks: list[Task], wanted: Wanted, limit: int, cursor: str) -> Page:
    fitting = sorted(filter(wanted.fits, tasks), key=lambda task: (-task.created, task.task_id))
    if cursor and not cursor.isdecimal():
        raise BadRequest(f"cursor: expected the `next` of a page before, got {cursor!r}")
    first = int(cursor or 0)
    rest = fitting[first : first + limit]
    return Page(rest, str(first + limit) if first + limit < len(fitting) else "")


def _among(wanted: Wanted) -> str:
    """The smallest sorted set that has them all."""
    if wanted.label:
        return keys.OF_LABEL + wanted.label
    return keys.OF_STATUS + wanted.statuses[0] if len(wanted.statuses) == 1 else keys.ALL


def _read(cursor: str) -> tuple[str, str]:
    created, colon, after = cursor.partition(":")
    try:
        float(created or "0")
    except ValueError:
        colon = ""
    if cursor and not (colon and after):
        raise BadRequest(f"cursor: expected the `next` of a page before, got {cursor!r}")
    return after, created
