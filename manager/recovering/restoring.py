"""Tells Redis what it has forgotten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from redis.asyncio import Redis

from configs.settings import Manager
from manager.connecting import reaching
from manager.errors import TaskError
from manager.recovering.finding import Found
from manager.tasks.script import Script
from manager.tasks.task import Task
from manager.tasks.tasks import Tasks

AT_ONCE = 200
"""Scripts of one round trip."""

KEEP = Script("""
-- history, id, label, created, ended, fields…: a task that has ended
local id, label, ended = ARGV[2], ARGV[3], tonumber(ARGV[5])
local left = math.floor((ended - now()) * 1000 + ARGV[1])
if redis.call('EXISTS', TASK .. id) == 1 then return 'there' end
if left <= 0 then return 'old' end
set(id, unpack(ARGV, 6))
set(id, 'turn', next_turn())
redis.call('ZADD', ALL, ARGV[4], id)
redis.call('ZADD', OF_LABEL .. label, ARGV[4], id)
redis.call('ZADD', OF_STATUS .. get(id, 'status'), ARGV[4], id)
redis.call('ZADD', ENDED, ended, id .. ':' .. label)
redis.call('PEXPIRE', TASK .. id, left)
return 'restored'
""")

KNOW = Script("""
-- label, id, began, fingerprint, content, rows, digest: the newest index of a label
local had = redis.call('HMGET', BUILT .. ARGV[1], 'task_id', 'created')
if had[1] == ARGV[2] then return 'there' end
if had[1] and tonumber(had[2]) >= tonumber(ARGV[3]) then return 'newer' end
redis.call('HSET', BUILT .. ARGV[1], 'task_id', ARGV[2], 'created', ARGV[3], 'fingerprint', ARGV[4], 'content', ARGV[5],
  'rows', ARGV[6], 'digest', ARGV[7])
return 'restored'
""")

RAISE = Script("""
local newest = tonumber(redis.call('GET', FENCE) or '0')
if newest < tonumber(ARGV[1]) then redis.call('SET', FENCE, ARGV[1]) end
return newest
""")


@dataclass(slots=True)
class Restored:
    """What was done; each count by `restored`, `there` (known already), `newer` or `old`."""

    labels: dict[str, int] = field(default_factory=dict)
    """Labels whose newest index is known now; `newer`: Redis knows of a newer one than the bucket."""
    history: dict[str, int] = field(default_factory=dict)
    """Published indexes as tasks; `old`: ended longer ago than manager.history_s."""
    queued: list[str] = field(default_factory=list)
    """Interrupted builds that wait again."""
    not_queued: dict[str, str] = field(default_factory=dict)
    """Those that do not, with the reason."""
    fence: tuple[int, int] = (0, 0)
    """The highest token that Redis knew, and the bucket's."""


async def restore(redis: Redis, section: Manager, found: Found, *, interrupted: bool) -> Restored:
    """Restore everything that is missing; doing it again changes nothing.  Raises Unavailable."""
    done = Restored()
    with reaching(redis):
        done.fence = (int(await RAISE.run(redis, found.fence)), found.fence)
        newest = {task.label: task for task in found.published}  # the last one stays
        done.labels = await _all(redis, KNOW, map(_known, newest.values()))
        history_ms = int(section.history_s * 1000)
        done.history = await _all(redis, KEEP, (_kept(task, history_ms) for task in found.published))
    tasks = Tasks(redis, section)
    for task in found.interrupted if interrupted else ():
        try:
            done.queued.append((await tasks.submit(task)).task_id)
        except TaskError as error:
            done.not_queued[task.task_id] = str(error)
    return done


def _known(task: Task) -> tuple[Any, ...]:
    return (task.label, task.task_id, repr(task.created), task.fingerprint, task.content, task.rows, task.digest)


def _kept(task: Task, history_ms: int) -> tuple[Any, ...]:
    fields = chain.from_iterable(task.to_redis().items())
    return (history_ms, task.task_id, task.label, repr(task.created), repr(task.ended), *fields)


async def _all(redis: Redis, script: Script, calls: Iterable[tuple[Any, ...]]) -> dict[str, int]:
    """Run a script for each, many in a round trip; how often it answered what."""
    said: Counter[str] = Counter()
    await script.learn(redis)
    rest: Iterator[tuple[Any, ...]] = iter(calls)
    while some := list(islice(rest, AT_ONCE)):
        pipe = redis.pipeline(transaction=False)
        for arguments in some:
            script.queue(pipe, *arguments)
        said.update(await pipe.execute())
    return dict(said)
