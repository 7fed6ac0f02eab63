"""Sends requests: all that were made in one turn of the event loop travel as one command."""

from __future__ import annotations

import asyncio
import logging

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from configs.hiding import without_password
from matcher.errors import Unreachable
from matcher.flight import Flight

logger = logging.getLogger(__name__)

LOST = (RedisConnectionError, RedisTimeoutError, OSError)

AT_ONCE = 256
"""Requests of one command: bounds how long the server is busy with it."""

ADD = """
local at = 1
for number, stream in ipairs(KEYS) do
  local count = tonumber(ARGV[at])
  redis.call('XADD', stream, '*', unpack(ARGV, at + 1, at + count))
  at = at + 1 + count
end
return #KEYS
"""
"""One XADD per key; ARGV holds for each the number of its fields and values, then these.

One command with one reply costs the client a fifth of as many XADD in a pipeline."""


class Sender:
    """A queue that empties itself once a turn; what cannot be sent is repeated by the flight's own timer."""

    def __init__(self, redis: Redis) -> None:
        self._add = redis.register_script(ADD)
        self._queue: list[tuple[str, Flight, float]] = []
        self._flushing: asyncio.Task[None] | None = None

    def put(self, stream: str, flight: Flight, life_s: float) -> None:
        """Send soon; `life_s` seconds are left."""
        self._queue.append((stream, flight, life_s))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        while self._queue:
            part, self._queue = self._queue[:AT_ONCE], self._queue[AT_ONCE:]
            streams: list[str] = []
            arguments: list[bytes | str | int] = []
            for stream, flight, life_s in part:
                streams.append(stream)
                arguments.append(len(flight.fields) + 2)
                arguments.extend(flight.fields)
                arguments.append("ttl_ms")
                arguments.append(max(1, int(life_s * 1000)))
            try:
                await self._add(keys=streams, args=arguments)
            except LOST as error:
                logger.debug("%d requests were not sent (%s); they are repeated.", len(part), error)
                for _, flight, _ in part:
                    flight.repeat_at = 0.0
            except RedisError as error:  # refused: out of memory, a key of another type
                logger.warning("%d requests were not accepted (%s); they are repeated later.", len(part), error)

    async def close(self) -> None:
        """Wait for what is being sent."""
        if self._flushing is not None:
            await asyncio.gather(self._flushing, return_exceptions=True)


def unreachable(url: str, error: Exception) -> Unreachable:
    """What a person is told when there is no Redis."""
    return Unreachable(
        f"redis.url: nothing answers at {without_password(url)} ({error}): start the stack with `lim up`, "
        "or set the address"
    )
