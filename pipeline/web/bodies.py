"""Reads the body of a request as JSON."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

MOST_BYTES = 64 << 10


async def read_json(request: Request) -> Any:
    """What the body says; raises ValueError, whose text says what was expected, for one that is no JSON or too long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise ValueError(f"body: expected at most {MOST_BYTES:,} bytes of JSON, got more")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"body: expected JSON, got something else ({error})") from error
