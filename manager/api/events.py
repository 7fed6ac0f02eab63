"""What happens to tasks, as streams of server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from manager.api.feed import Feed, Follower
from manager.api.reading import Query
from manager.api.shown import task_json
from manager.api.streaming import BEAT, BEAT_S, EventStream, sent
from manager.errors import NoSuchTask, Unavailable
from manager.parts import Parts
from manager.tasks.finding import Wanted
from manager.tasks.task import Task
from manager.tasks.tasks import Tasks

MOST_SHOWN = 100
"""Tasks of a snapshot."""
AGAIN_S = 1.0
"""Wait before Redis is asked again."""
ENDED = "ended"
"""Id of a stream's last event: who comes again with it has heard everything."""
LAST = f"event: task\nid: {ENDED}\n".encode()

Chunks = AsyncGenerator[bytes, None]


class Streams:
    """The handlers, over one feed."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed

    async def everything(self, request: Request, parts: Parts) -> Response:
        """`snapshot`, then `task` for each change; `snapshot` again whenever something may have been missed."""
        Query.of(request)
        self.feed.check()
        return EventStream(self._everything(parts.tasks))

    async def one(self, request: Request, parts: Parts) -> Response:
        """`task` now and after each change, until it has ended."""
        Query.of(request)
        task = await parts.tasks.get(request.path_params["task_id"])
        if not task.is_open and request.headers.get("last-event-id") == ENDED:
            return Response(status_code=204)  # which tells a browser not to come again
        self.feed.check()
        return EventStream(self._one(parts.tasks, task))

    async def _everything(self, tasks: Tasks) -> Chunks:
        async with self.feed.follow() as follower:
            while not follower.is_over:
                changed = await follower.changes(BEAT_S)
                if follower.missed:
                    yield await _looked(follower, lambda: _snapshot(tasks))
                elif not changed and not follower.is_over:
                    yield BEAT
                for event in changed:
                    yield sent("task", event)

    async def _one(self, tasks: Tasks, task: Task) -> Chunks:
        yield (told := _state(task))
        if not task.is_open:
            return
        async with self.feed.follow(task.task_id) as follower:
            while told and not told.startswith(LAST) and not follower.is_over:
                if await follower.changes(BEAT_S) or follower.missed:
                    now = await _looked(follower, lambda: _now(tasks, task.task_id))
                    if now and now != told:
                        yield now
                    told = told if now == BEAT else now
                elif not follower.is_over:
                    yield BEAT


async def _looked(follower: Follower, look: Callable[[], Awaitable[bytes]]) -> bytes:
    """What there is to tell; while Redis cannot be reached a sign of life, and another look after a moment."""
    try:
        follower.missed = False
        async with follower.looking:
            return await look()
    except Unavailable:
        follower.missed = True
        await asyncio.sleep(AGAIN_S)
        return BEAT


async def _snapshot(tasks: Tasks) -> bytes:
    found = await tasks.find(Wanted(statuses=("indexing",)), MOST_SHOWN)
    return sent("snapshot", {"counts": await tasks.counts(), "tasks": [task_json(task) for task in found.tasks]})


async def _now(tasks: Tasks, task_id: str) -> bytes:
    """Its state; empty where it is not known any more."""
    try:
        return _state(await tasks.get(task_id))
    except NoSuchTask:  # a Redis that was wiped meanwhile
        return b""


def _state(task: Task) -> bytes:
    return sent("task", task_json(task), "" if task.is_open else ENDED)
