"""One connection to Redis with many commands under way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, cast

from redis.asyncio import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import ResponseError

Sink = Callable[[Any, Any], None]
"""Takes what a command was about, and its reply or the exception that stands for it: ResponseError, or Lost.
Called for every command, so it must not raise."""

CONNECT_S = 5.0
"""Longest wait for a connection."""


async def connect(url: str, name: str) -> Connection:
    """A connection that has said who it is; raises redis' ConnectionError or TimeoutError, or OSError."""
    # Replies are awaited for as long as it takes (socket_timeout None): time-outs are the requests' own.
    pool: Any = ConnectionPool.from_url(
        url, protocol=2, client_name=name, socket_timeout=None, socket_connect_timeout=CONNECT_S,
        socket_keepalive=True, retry=Retry(NoBackoff(), 0),
    )  # fmt: skip
    connection: Any = pool.make_connection()
    await connection.connect()
    return cast("Connection", connection)


async def until_one_ends(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run the jobs side by side until one of them ends or fails; the others are cancelled."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


class Line:
    """Commands go out together once per turn of the event loop; replies come back in order."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._out: list[bytes] = []
        self._sinks: deque[tuple[Sink, Any]] = deque()
        self._more = asyncio.Event()

    def post(self, command: bytes, sink: Sink, subject: object) -> None:
        """Send a packed command; its reply goes to `sink(subject, reply)`."""
        self._out.append(command)
        self._sinks.append((sink, subject))
        self._more.set()

    async def call(self, *words: str | int) -> Any:
        """Send a command and wait for its reply; raises ResponseError, or Lost when the connection breaks."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.post(b"".join(self._connection.pack_command(*words)), _resolve, future)
        return await future

    async def run(self) -> None:
        """Send and receive until the connection breaks, which it raises; every open command learns of it."""
        try:
            await until_one_ends(self._send(), self._receive())
        finally:
            while self._sinks:
                sink, subject = self._sinks.popleft()
                sink(subject, Lost("the connection broke before the reply"))

    async def _send(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            out, self._out = self._out, []
            await self._connection.send_packed_command(out, check_health=False)

    async def _receive(self) -> None:
        read = self._connection.read_response
        sinks = self._sinks
        while True:
            try:
                reply = await read(disable_decoding=True)
            except ResponseError as error:
                reply = error
            sink, subject = sinks.popleft()
            sink(subject, reply)


def _resolve(future: asyncio.Future[Any], reply: Any) -> None:
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)
