"""An answer of server-sent events that ends with its client."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

logger = logging.getLogger(__name__)

BEAT_S = 15.0
"""Longest silence: a comment keeps proxies from giving up, and finds clients that went without a word."""
SEND_S = 30.0
"""Longest that a client may not read."""
LIFE_S = 3_600.0
"""A client comes again after it, with a token that is still in force."""
AGAIN_MS = 2_000
"""What clients wait before they come again."""

BEAT = b": \n\n"

HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def sent(event: str, data: Any, event_id: str = "") -> bytes:
    """One event."""
    mark = f"id: {event_id}\n" if event_id else ""
    return f"event: {event}\n{mark}data: {json.dumps(data)}\n\n".encode()


class EventStream(Response):
    """Sends what a generator gives; whatever ends first, client or generator, ends the other."""

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until one of them has ended."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        sending = asyncio.create_task(self._send(send))
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({sending, gone}, timeout=LIFE_S, return_when=asyncio.FIRST_COMPLETED)
            is_there = not gone.done()
        finally:
            for one in (sending, gone):
                one.cancel()
            ended, _ = await asyncio.gather(sending, gone, return_exceptions=True)
        if isinstance(ended, TimeoutError):
            logger.warning("A client of events has not read for %.0f s, so its stream ends.", SEND_S)
        elif isinstance(ended, Exception) and not isinstance(ended, OSError):  # those of the connection
            raise ended
        elif is_there:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.body", "body": f"retry: {AGAIN_MS}\n\n".encode(), "more_body": True})
        async with aclosing(self._chunks) as chunks:
            async for chunk in chunks:
                async with asyncio.timeout(SEND_S):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
