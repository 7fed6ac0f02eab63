"""Connections to Redis whose commands can be cancelled at any moment.

redis-py sends within `asyncio.wait_for`, which before Python 3.12 forgets a cancellation that comes in the moment in which
the command has been sent: the task goes on, although who cancelled it, a leader without a lease for one, relies on its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection as Connection
else:
    Connection = object


class Cancellable(Connection):
    """Goes before a class of connections, and limits what is sent in a way that tells the two apart."""

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        """As redis-py's; raises TimeoutError where that does."""
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        limit_s, self.socket_timeout = self.socket_timeout, None  # one task at a time has a connection
        try:
            async with asyncio.timeout(limit_s):
                await super().send_packed_command(command, check_health)
        finally:
            self.socket_timeout = limit_s


def cancellable(redis: Redis) -> Redis:
    """The same pool, whose connections are such; before it has any."""
    pool: Any = redis.connection_pool
    kind = pool.connection_class
    pool.connection_class = type(f"Cancellable{kind.__name__}", (Cancellable, kind), {})
    return redis
