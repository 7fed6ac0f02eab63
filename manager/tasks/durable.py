"""Acknowledges a submission only when it outlives the loss of the server that has it."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import NoScriptError, ResponseError

from manager.errors import Unavailable
from manager.tasks.script import Script

WAIT_MS = 2_000
"""Longest wait for replicas."""


class Durable:
    """Runs scripts that write something whatever they find, each followed by WAIT on the very same connection: it knows
    what that one wrote, nothing else.
    """

    def __init__(self, redis: Redis, replicas: int) -> None:
        self._redis = redis
        self._replicas = replicas
        self._known = 0
        """Replicas that were connected when Redis was asked last."""

    async def run(self, script: Script, *arguments: str | float) -> Any:
        """The script's reply, once manager.replicas have what it wrote; 0 = one, where there are any.

        Raises Unavailable when they have not got it in time: it is written all the same, and a repeat is harmless.
        """
        while True:
            wanted = self._replicas or min(self._known, 1)
            commands = [script.command(*arguments), ("ROLE",), *([("WAIT", wanted, WAIT_MS)] if wanted else [])]
            reply, role, *kept = await self._send(commands)
            if isinstance(reply, NoScriptError):
                await script.learn(self._redis)
                continue
            for one in (reply, role, *kept):
                if isinstance(one, Exception):
                    raise one
            self._known = len(role[2]) if role[0] == "master" else 0
            if wanted or not self._known:
                self._check(wanted, kept[0] if kept else 0)
                return reply

    def _check(self, wanted: int, kept: int) -> None:
        # where any number will do, there may be none any more
        if kept < wanted and (self._replicas or self._known):
            raise Unavailable(
                f"replicas of Redis: expected {wanted} to have the submission within {WAIT_MS / 1000:g} s, got {kept} of "
                f"{self._known} connected: submit it again with the same task_id, which is harmless; see to the replicas or "
                "lower manager.replicas"
            )

    async def _send(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Replies to commands that go out together on one connection; all again on another where it breaks."""
        retry: Any = self._redis.get_retry()

        async def said(_: Exception) -> None:
            """Nothing is left to be tidied."""

        replies: list[Any] = await retry.call_with_retry(lambda: self._sent(commands), said)
        return replies

    async def _sent(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        pool: Any = self._redis.connection_pool
        connection = await pool.get_connection()
        try:
            await connection.send_packed_command(connection.pack_commands(commands))
            replies = [await _reply(connection) for _ in commands]
            if not self._replicas and replies[1][0] == "master" and not replies[1][2]:
                await _check_leads(pool, connection)
        except BaseException:  # a cancellation too: nobody will read what comes yet
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)
        return replies


async def _reply(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


async def _check_leads(pool: Any, connection: Any) -> None:
    """A master whose replicas follow another by now takes writes that will be lost; raises redis' ConnectionError."""
    if isinstance(pool, SentinelConnectionPool):
        master = await pool.sentinel_manager.discover_master(pool.service_name)
        if (connection.host, connection.port) != tuple(master):
            raise Lost(
                f"the Sentinels name {master[0]}:{master[1]} as the master, not {connection.host}:{connection.port}"
            )
