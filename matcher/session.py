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

from configs.hiding import without_password
from matcher.errors import Unreachable
from matcher.line import CONNECT_S, Line, connect, until_one_ends

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
        self._connections: list[Connection] = []
        """For commands and for answers; both, or none."""
        self._closing = False  # Redis' client may turn a cancellation into a time-out: the loops look here as well
        self._heard = 0.0

    async def start(self) -> None:
        """Connect for the first time; raises Unreachable."""
        await self._connect()
        self._task = asyncio.create_task(self._run(), name="lim-client-session")

    async def close(self) -> None:
        """Disconnect; what is under way gets no answer any more."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._disconnect()

    async def _connect(self) -> None:
        """Subscribes before anything can be sent: an answer without a listener would be lost."""
        name = self._channel.replace(":", "-")
        try:
            async with asyncio.timeout(CONNECT_S):
                for _ in range(2):
                    self._connections.append(await connect(self._url, name))
                answers = self._connections[1]
                await answers.send_command("SUBSCRIBE", self._channel)
                await answers.read_response(disable_decoding=True)
        except BaseException as error:
            await self._disconnect()
            if isinstance(error, RedisError | OSError):
                raise self._unreachable(error) from error
            raise

    async def _disconnect(self) -> None:
        while self._connections:
            with suppress(RedisError, OSError):  # TimeoutError among them: a silent server is not waited for
                await self._connections.pop().disconnect()

    def _unreachable(self, error: BaseException) -> Unreachable:
        where, why = without_password(self._url), str(error).rstrip(".;")
        return Unreachable(
            f"redis.url: nothing answers at {where} ({why}): start the stack with `lim up`, or set the address"
        )

    async def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._closing:
            began = time.monotonic()
            try:
                await self._serve()
            except (RedisError, OSError) as error:
                logger.warning("Redis went away (%s); connecting again.", error)
            except Exception:
                logger.exception("The session with Redis failed; connecting again.")
            self.lost_at = time.monotonic()
            if self.lost_at - began > LONGEST_WAIT_S:
                wait_s = FIRST_WAIT_S
            while not self._connections and not self._closing:
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
                with suppress(Unreachable):
                    await self._connect()

    async def _serve(self) -> None:
        commands, answers = self._connections
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
            await self._disconnect()

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
