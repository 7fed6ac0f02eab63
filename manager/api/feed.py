"""Hands what happens to tasks to all who follow it, by one subscription to Redis."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

from manager.errors import Unavailable
from manager.tasks.tasks import Tasks

logger = logging.getLogger(__name__)

MOST_FOLLOWERS = 200
LOOKS_AT_ONCE = 16
MOST_CHANGED = 1_000
"""Tasks of which a follower has yet to hear; beyond them it is told to look again."""


class Follower:
    """What one client has yet to hear: of each task the newest state alone, so that a slow client costs no more."""

    def __init__(self, task_id: str, looking: asyncio.Semaphore, *, missed: bool) -> None:
        self._task_id = task_id
        self.looking = looking
        """Held while Redis is asked: all may have to look at once."""
        self._changed: dict[str, dict[str, Any]] = {}
        self._wake = asyncio.Event()
        self.missed = missed
        """Anything may have changed: it has to look again."""
        self.is_over = False
        """There is nothing more to hear: the service ends."""

    def put(self, event: dict[str, Any]) -> None:
        """Take note of an event."""
        task_id = event["task_id"]
        if self._task_id and task_id not in ("", self._task_id):
            return
        if not task_id or (len(self._changed) >= MOST_CHANGED and task_id not in self._changed):
            self.missed = True
            self._changed.clear()
        else:
            self._changed[task_id] = event
        self._wake.set()

    def close(self) -> None:
        """Nothing more comes."""
        self.is_over = True
        self._wake.set()

    async def changes(self, timeout_s: float) -> list[dict[str, Any]]:
        """What changed since the last call; empty after `timeout_s` without a change, or with `missed` or `is_over`."""
        if not self.missed:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), timeout_s)
        self._wake.clear()
        found, self._changed = list(self._changed.values()), {}
        return found


class Feed:
    """Subscribed while somebody follows."""

    def __init__(self, tasks: Tasks, stopping: asyncio.Event) -> None:
        self._tasks, self._stopping = tasks, stopping
        self._followers: set[Follower] = set()
        self._reader: asyncio.Task[None] | None = None
        self._is_live = False
        self._looking = asyncio.Semaphore(LOOKS_AT_ONCE)

    def __len__(self) -> int:
        return len(self._followers)

    def check(self) -> None:
        """Raises Unavailable when too many follow already."""
        if len(self._followers) >= MOST_FOLLOWERS:
            raise Unavailable(
                f"events: expected at most {MOST_FOLLOWERS} who follow them, got one more: try another manager"
            )

    @asynccontextmanager
    async def follow(self, task_id: str = "") -> AsyncIterator[Follower]:
        """What happens to one task, or to all."""
        # the first one is told to look as soon as the subscription stands: nothing is lost in between
        follower = Follower(task_id, self._looking, missed=self._is_live)
        self._followers.add(follower)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read(), name="events")
        if self._stopping.is_set():
            follower.close()
        try:
            yield follower
        finally:
            self._followers.discard(follower)
            if not self._followers:
                await self._end()

    async def _read(self) -> None:
        ending = asyncio.create_task(self._stopping.wait())
        reading = asyncio.create_task(self._hand_out())
        try:
            await asyncio.wait({ending, reading}, return_when=asyncio.FIRST_COMPLETED)
            for follower in self._followers:
                follower.close()
            if reading.done():
                logger.error("Events are not read any more.", exc_info=reading.exception())
        finally:
            for one in (ending, reading):
                one.cancel()
            await asyncio.gather(ending, reading, return_exceptions=True)

    async def _hand_out(self) -> None:
        async with aclosing(self._tasks.events()) as events:
            async for event in events:
                self._is_live = True
                for follower in self._followers:
                    follower.put(event)

    async def _end(self) -> None:
        reader, self._reader, self._is_live = self._reader, None, False
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
