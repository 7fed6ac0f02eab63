"""What happens to tasks, as it happens."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from manager.tasks.keys import EVENTS

logger = logging.getLogger(__name__)

AGAIN_S = 0.5
"""Wait before Redis is tried again."""

WAKE_S = 1.0
"""Longest wait for a message before the connection is looked after."""

MISSED: dict[str, Any] = {"task_id": ""}
"""Told first, and after every loss of the connection: anything may have changed, so look again."""


async def events(redis: Redis) -> AsyncGenerator[dict[str, Any]]:
    """Messages with task_id, label, status, stage, items, finished, rows_per_s, eta_s, priority, cancelling, attempts
    and error_code on every change of a task, for ever; `MISSED` whenever some may have been missed.
    """
    while True:
        try:
            async with aclosing(_messages(redis)) as messages:
                async for message in messages:
                    yield message
        except (RedisError, OSError) as error:
            logger.debug("Events cannot be read (%s); again in %.1f s.", error, AGAIN_S)
            await asyncio.sleep(AGAIN_S)


async def _messages(redis: Redis) -> AsyncGenerator[dict[str, Any]]:
    """Of one connection, until it breaks."""
    client: Any = redis
    async with client.pubsub() as channel:
        await channel.subscribe(EVENTS)
        while True:
            message = await channel.get_message(timeout=WAKE_S)
            if message is None:
                continue
            # redis-py subscribes again by itself, and says so in the same way as at first
            yield json.loads(message["data"]) if message["type"] == "message" else dict(MISSED)
