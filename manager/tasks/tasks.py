"""Tasks in Redis: submitted by anybody, moved by whoever leads."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from itertools import chain
from typing import Any

from redis.asyncio import Redis

from configs.settings import Manager
from manager.connecting import reaching
from manager.errors import BadRequest, NoSuchTask
from manager.tasks import finding, keys, wishes
from manager.tasks.durable import Durable
from manager.tasks.events import events
from manager.tasks.finding import Page, Wanted
from manager.tasks.led import Led
from manager.tasks.replies import task as moved
from manager.tasks.script import Script
from manager.tasks.task import STATUSES, Task
from pipeline.indexer.errors import CANCELLED, DESCRIPTIONS

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

MOST_PRIORITY = 1_000_000_000


class Tasks(Led):
    """Every move is one script; whatever is repeated because its answer did not come happens once.

    All raise Unavailable while Redis cannot be reached.
    """

    def __init__(self, redis: Redis, section: Manager) -> None:
        super().__init__(redis, section)
        self._durable = Durable(redis, section.replicas)

    async def submit(self, task: Task, *, again: bool = False) -> Task:
        """Let it wait for its turn; acknowledged once manager.replicas have it.

        A repeat with the same id and content answers with the task as it is by now.  Raises TaskExists when equal
        content waits or is being built, AlreadyIndexed when the newest index holds it, unless `again`; IdTaken,
        BadRequest.
        """
        if not _ID.fullmatch(task.task_id):
            raise BadRequest(
                f"task_id: expected up to 100 letters, digits, '.', '_' or '-', beginning with one of the first two, got {task.task_id!r}"
            )
        _check(task.priority)
        alone = "" if task.options else task.fingerprint
        fields = chain.from_iterable(task.to_redis().items())
        with reaching(self._redis):
            reply = await self._durable.run(
                wishes.SUBMIT, task.task_id, task.content, task.label, "1" if again else "",
                alone, *fields,
            )  # fmt: skip
        return moved(reply, task.task_id)

    async def cancel(self, task_id: str) -> Task:
        """End it: at once while it waits; while it is being built, `cancelling` says so until its leader has ended it.

        One that is cancelled stays so.  Raises TaskOver after success or error, NoSuchTask.
        """
        fields = ("error_code", CANCELLED, "desc", DESCRIPTIONS[CANCELLED], "detail", "")
        return await self._ask(wishes.CANCEL, task_id, self._history_ms, *fields)

    async def retry(self, task_id: str) -> Task:
        """Let one that failed or was cancelled wait again, behind the others; an open one is left as it is.

        Raises TaskOver after success, TaskExists when another with its content waits or runs, NoSuchTask.
        """
        fields = (
            "attempts", 0, "error_code", 0, "desc", "", "detail", "", "ended", "0.0", "started", "0.0", "not_before", "0.0",
            "stage", "", "items", 0, "finished", 0, "rows_per_s", "0.0", "eta_s", "-1.0", "cancelling", "false",
        )  # fmt: skip
        return await self._ask(wishes.RETRY, task_id, *fields)

    async def prioritise(self, task_id: str, priority: int) -> Task:
        """Give it another priority; raises TaskOver, NoSuchTask, BadRequest."""
        _check(priority)
        return await self._ask(wishes.PRIORITISE, task_id, priority)

    async def get(self, task_id: str) -> Task:
        """The task; raises NoSuchTask."""
        with reaching(self._redis):
            found = await finding.get(self._redis, [task_id])
        if not found:
            raise NoSuchTask(
                f"task {task_id}: expected one that waits, runs or ended within manager.history_s, got none"
            )
        return found[0]

    async def find(self, wanted: Wanted, limit: int, cursor: str = "") -> Page:
        """At most `limit` of those that are wanted, newest first; raises BadRequest for a cursor that no page gave."""
        with reaching(self._redis):
            return await finding.find(self._redis, wanted, limit, cursor)

    async def waiting(self, limit: int, offset: int = 0) -> list[str]:
        """Ids in the order of their turns; at the end those that wait for a further attempt."""
        client: Any = self._redis
        with reaching(self._redis):
            due = await client.zrange(keys.QUEUE, offset, offset + limit - 1)
            found = [place.split(":", 2)[1] for place in due]
            if len(found) < limit:
                first = max(0, offset - await client.zcard(keys.QUEUE))
                found += await client.zrange(keys.LATER, first, first + limit - len(found) - 1)
        return found

    async def counts(self) -> dict[str, int]:
        """How many tasks are in each state."""
        pipe: Any = self._redis.pipeline(transaction=False)
        for status in STATUSES:
            pipe.zcard(keys.OF_STATUS + status)
        with reaching(self._redis):
            return dict(zip(STATUSES, await pipe.execute(), strict=True))

    async def built(self, label: str) -> dict[str, str] | None:
        """What the newest index of a label holds: task_id, fingerprint, content, rows, created (JSON numbers), digest."""
        client: Any = self._redis
        with reaching(self._redis):
            return await client.hgetall(keys.built(label)) or None

    async def removed(self, label: str, index_id: str) -> None:
        """An index was removed from the bucket: where it was the newest of its label, its content is no longer indexed."""
        with reaching(self._redis):
            await wishes.REMOVED.run(self._redis, label, index_id)

    def events(self) -> AsyncGenerator[dict[str, Any]]:
        """See `manager.tasks.events.events`."""
        return events(self._redis)

    async def _ask(self, script: Script, task_id: str, *arguments: str | float) -> Task:
        with reaching(self._redis):
            return moved(await script.run(self._redis, task_id, *arguments), task_id)


def _check(priority: int) -> None:
    if abs(priority) > MOST_PRIORITY:
        raise BadRequest(f"priority: expected -{MOST_PRIORITY:,} to {MOST_PRIORITY:,}, got {priority:,}")
