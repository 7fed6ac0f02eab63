"""Acknowledges a submission only when it outlives the loss of the server that has it."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import NoScriptError

from manager.errors import Unavailable
from manager.tasks.script import Script

WAIT_MS = 2_000
"""Longest wait for replicas."""


async def run(redis: Redis, replicas: int, script: Script, *arguments: str | float) -> Any:
    """The script's reply, once `replicas` have what it wrote; 0 = one, where there are any.

    Raises Unavailable when they have not got it in time: it is written all the same, and a repeat is harmless.
    """
    while True:
        async with redis.client() as line:  # one connection: WAIT knows what its own wrote
            pipe = line.pipeline(transaction=False)
            script.queue(pipe, *arguments)
            pipe.role()
            reply, role = await pipe.execute(raise_on_error=False)
            if isinstance(reply, NoScriptError):
                await script.learn(line)
                continue
            if isinstance(reply, Exception):
                raise reply
            await _kept(line, replicas, role)
            return reply


async def _kept(line: Redis, replicas: int, role: Any) -> None:
    connected = len(role[2]) if not isinstance(role, Exception) and role[0] == "master" else 0
    wanted = replicas or min(connected, 1)
    if not wanted:
        await _leads(line)
        return
    client: Any = line
    kept = await client.execute_command("WAIT", wanted, WAIT_MS)
    if kept < wanted:
        raise Unavailable(
            f"replicas of Redis: expected {wanted} to have the submission within {WAIT_MS / 1000:.0f} s, got {kept} of "
            f"{connected} connected: submit it again with the same task_id, which is harmless; see to the replicas or lower "
            "manager.replicas"
        )


async def _leads(line: Redis) -> None:
    """A master that lost its replicas to another master still takes writes, which the other never gets."""
    pool: Any = line.connection_pool
    if not isinstance(pool, SentinelConnectionPool):
        return
    connection: Any = line.connection
    master = await pool.sentinel_manager.discover_master(pool.service_name)
    if (connection.host, connection.port) != tuple(master):
        raise Unavailable(
            f"Redis at {connection.host}:{connection.port}: the Sentinels name {master[0]}:{master[1]} as the master by now: "
            "submit it again with the same task_id, which is harmless"
        )
