"""Keeps a client connected: one line for commands, one subscription for answers."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Connection
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import RedisError

from configs.commands import without_password
from matcher.client_errors import NoRedis
from matcher.line import Line, connect, until_one_ends

logger = logging.getLogger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 1.0
"""Waits between attempts to connect: doubled each time, with jitter so that clients do not come back in step."""

PING_S = 2.0
"""Seconds between looks at whether the subscription is alive; three without a reply break the session.

A subscription that died silently looks like a matcher that does not answer."""


@dataclass(frozen=True, slots=True)
class Events:
    """What a session calls."""

    message: Callable[[bytes], None]
    """A message on the channel."""
    resumed: Callable[[], None]
    """Connected again: whatever was under way may be lost."""
    work: Callable[[Line], Coroutine[Any, Any, None]]
    """Runs as long as the session is connected."""


class Session:
    """Connects, and connects again, until it is closed."""

    def __init__(self, url: str, channel: str, events: Events) -> None:
        self.line: Line | None = None
        """The line for commands; None while Redis is away."""
        self.lost_at: float | None = None
        """When Redis went away, by time.monotonic()."""
        self._url, self._channel, self._events = url, channel, events
        self._task: asyncio.Task[None] | None = None
        self._heard = 0.0

    async def start(self) -> None:
        """Connect for the first time; raises NoRedis."""
        connections = await self._connect()
        self._task = asyncio.create_task(self._run(connections), name="lim-client-session")

    async def close(self) -> None:
        """Disconnect; what is under way gets no answer any more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _connect(self) -> tuple[Connection, Connection]:
        name = self._channel.replace(":", "-")
        opened: list[Connection] = []
        try:
            opened.append(await connect(self._url, name))
            opened.append(await connect(self._url, name))
            await opened[1].send_command("SUBSCRIBE", self._channel)
            await opened[1].read_response(disable_decoding=True)
        except BaseException as error:
            await _close(opened)
            if isinstance(error, RedisError | OSError):
                raise NoRedis(f"no Redis at {without_password(self._url)}: {error}; start it, or set redis.url") from error
            raise
        return opened[0], opened[1]

    async def _run(self, connections: tuple[Connection, Connection]) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            began = time.monotonic()
            try:
                await self._serve(*connections)
            except (RedisError, OSError) as error:
                self.lost_at = time.monotonic()
                logger.warning("Redis went away (%s); connecting again.", error)
            if time.monotonic() - began > LONGEST_WAIT_S:
                wait_s = FIRST_WAIT_S
            while True:
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
                with suppress(NoRedis):
                    connections = await self._connect()
                    break

    async def _serve(self, commands: Connection, answers: Connection) -> None:
        self.line = line = Line(commands)
        self._heard = time.monotonic()
        try:
            if self.lost_at is not None:
                logger.info("Redis is back after %.1f s.", time.monotonic() - self.lost_at)
                self.lost_at = None
                self._events.resumed()
            await until_one_ends(line.run(), self._listen(answers), self._ping(answers), self._events.work(line))
        finally:
            self.line = None
            await _close([commands, answers])

    async def _listen(self, connection: Connection) -> None:
        read, message = connection.read_response, self._events.message
        while True:
            reply: Any = await read(disable_decoding=True)
            self._heard = time.monotonic()
            if reply[0] == b"message":
                message(reply[2])

    async def _ping(self, connection: Connection) -> None:
        while time.monotonic() - self._heard < 3 * PING_S:
            await asyncio.sleep(PING_S)
            await connection.send_command("PING", check_health=False)
        raise Lost(f"no sign of life for {3 * PING_S:.0f} s")


async def _close(connections: list[Connection]) -> None:
    for connection in connections:
        with suppress(RedisError, OSError):
            await connection.disconnect(nowait=True)
