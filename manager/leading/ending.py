"""Ends tasks that may miss a cancellation.

Python 3.11's `asyncio.wait_for`, in which redis-py sends every command, forgets a cancellation that comes in the moment in
which what it waits for is done: the task goes on as if nothing had been.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection, Coroutine
from typing import Any

AGAIN_S = 1.0
"""Seconds after which a task that goes on is cancelled once more: enough for it to tidy up."""


async def ended(
    tasks: Collection[asyncio.Task[Any]], again_s: float = AGAIN_S, limit_s: float = math.inf
) -> set[asyncio.Task[Any]]:
    """Cancel the tasks, return when all have ended, or `limit_s` has passed: those that go on.  Raises nothing of theirs.

    Being cancelled itself does not keep it from that, only raises CancelledError afterwards.
    """
    left, cancelled, until = set(tasks), False, time.monotonic() + limit_s
    while left and (remaining := until - time.monotonic()) > 0:
        for task in left:
            task.cancel()
        try:
            _, left = await asyncio.wait(left, timeout=min(again_s, remaining))
        except asyncio.CancelledError:
            cancelled = True
            left = {task for task in left if not task.done()}
    if cancelled:
        raise asyncio.CancelledError
    return left


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Do all of it side by side, return when all is done; what fails first ends the others, and is raised.

    A TaskGroup would wait for ever for a task that missed its cancellation.
    """
    tasks = [asyncio.create_task(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        failed = [error for task in done if not task.cancelled() and (error := task.exception())]
    finally:
        await ended(tasks)
    if failed:
        raise failed[0]
