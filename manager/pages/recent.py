"""What takes a while to gather, shared by everybody who asks within a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Got = TypeVar("Got")


class Recent(Generic[Got]):
    """Ten people who watch a page that renews itself cost what one does."""

    def __init__(self, gather: Callable[[], Awaitable[Got]], fresh_s: float) -> None:
        """What was gathered is given out for `fresh_s`."""
        self._gather, self._fresh_s = gather, fresh_s
        self._found: list[Got] = []
        self._at = 0.0
        self._turn = asyncio.Lock()

    async def get(self) -> Got:
        """It, at most `fresh_s` old; raises what gathering does, which is tried again by the next who asks."""
        async with self._turn:
            if not self._found or time.monotonic() - self._at >= self._fresh_s:
                self._found, self._at = [await self._gather()], time.monotonic()
            return self._found[0]
