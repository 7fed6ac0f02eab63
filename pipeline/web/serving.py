"""Serves HTTP on a loop that a service shares, from a port that is known to be free."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from configs.errors import LimError

GRACE_S = 2
"""Seconds that requests may take to their end when the service stops; streams are cut then."""


def listening(host: str, port: int, setting: str) -> socket.socket:
    """A socket that listens; port 0 = a free one.  Raises LimError, which names the setting, where it is taken."""
    try:
        found = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise LimError(f"{setting}: expected to listen on {host}:{port}, got: {error}; set another") from error
    # asyncio does it for sockets of its own alone: without it a body waits 40 ms for the head to be acknowledged
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


@asynccontextmanager
async def serving(app: ASGIApp, at: socket.socket) -> AsyncIterator[None]:
    """Answer requests while the block runs."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=GRACE_S
    )
    http = uvicorn.Server(config)
    pages = asyncio.create_task(http._serve([at]), name="http")  # not `serve`, which takes the signals
    try:
        yield
    finally:
        http.should_exit = True
        await pages


def on_signals(stopping: asyncio.Event) -> None:
    """The first SIGTERM or SIGINT asks for an orderly stop, the second ends the process."""

    def stop(number: int) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
