"""The moves of tasks that the leader makes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from itertools import chain
from typing import Any

from redis.asyncio import Redis

from configs.settings import Manager
from manager.connecting import reaching
from manager.tasks import leaders
from manager.tasks.replies import read, refuse
from manager.tasks.replies import task as moved
from manager.tasks.task import Status, Task, as_redis
from pipeline.indexer.errors import CANCELLED, DESCRIPTIONS

TOLD = frozenset({"stage", "items", "finished", "rows_per_s", "eta_s"})
"""What the progress of a build consists of."""


class Led:
    """Each raises StaleLeader when a newer fence was seen, Unavailable while Redis cannot be reached; both leave the task
    in one state or the other, and the same call may be made again.
    """

    def __init__(self, redis: Redis, section: Manager) -> None:
        self._redis = redis
        self._history_ms = int(section.history_s * 1000)
        self._token = ""
        """Of a claim whose answer has not come."""

    async def claim(self, fence: int, indexer: str) -> Task | None:
        """The next task that is due and whose label is not being built, now being built; None when there is none.

        A claim that failed as Unavailable may have happened: the next one then answers with the same task.
        """
        self._token = self._token or uuid.uuid4().hex
        with reaching(self._redis):
            reply = await leaders.CLAIM.run(self._redis, fence, indexer, self._token, self._history_ms)
        self._token = ""
        return None if reply[0] == "none" else moved(reply, "")

    async def adopt(self, fence: int) -> list[Task]:
        """All that are being built, those of earlier leaders too, now with this fence."""
        with reaching(self._redis):
            reply = await leaders.ADOPT.run(self._redis, fence)
        if reply[0] != "tasks":
            refuse(reply, "")
        return [read(flat) for flat in reply[1:]]

    async def progress(self, task_id: str, fence: int, told: Mapping[str, Any]) -> bool:
        """Note stage, items, finished, rows_per_s, eta_s, as far as they are told; whether somebody asked to end it.

        Raises TaskOver when it is not being built, NoSuchTask.
        """
        if unknown := sorted(set(told) - TOLD):
            raise ValueError(f"progress: expected {', '.join(sorted(TOLD))}, got {unknown[0]!r}")
        with reaching(self._redis):
            reply = await leaders.PROGRESS.run(self._redis, task_id, fence, *_flat(told))
        if reply[0] != "cancelling":
            refuse(reply, task_id)
        return bool(reply[1] == "true")

    async def succeed(self, task_id: str, fence: int, rows: int, digest: str) -> Task:
        """Its index, of so many rows, is published, and is the newest of its label."""
        values = {"rows": rows, "digest": digest, "error_code": 0, "desc": "", "detail": "", "eta_s": 0.0}
        return await self._end(task_id, fence, "success", values)

    async def fail(self, task_id: str, fence: int, code: int, detail: str, *, again_at: float = 0.0) -> Task:
        """Its build failed: with `again_at`, seconds since 1970, it waits for a further attempt.

        One that somebody asked to end is cancelled instead of tried again.
        """
        values = {
            "error_code": code, "desc": DESCRIPTIONS.get(code, "build failed"), "detail": detail, "not_before": again_at,
            "rows_per_s": 0.0, "eta_s": -1.0,
        }  # fmt: skip
        return await self._end(task_id, fence, "pending" if again_at else "error", values)

    async def cancelled(self, task_id: str, fence: int) -> Task:
        """Its build was ended because somebody asked for it."""
        values = {
            "error_code": CANCELLED,
            "desc": DESCRIPTIONS[CANCELLED],
            "detail": "",
            "rows_per_s": 0.0,
            "eta_s": -1.0,
        }
        return await self._end(task_id, fence, "cancelled", values)

    async def _end(self, task_id: str, fence: int, to: Status, values: Mapping[str, Any]) -> Task:
        with reaching(self._redis):
            reply = await leaders.END.run(self._redis, task_id, fence, to, self._history_ms, *_flat(values))
        return moved(reply, task_id)


def _flat(values: Mapping[str, Any]) -> list[str]:
    return list(chain.from_iterable(as_redis(values).items()))
