"""The matcher's connections to Redis."""

from __future__ import annotations

from typing import Any, cast

from redis.asyncio import Redis

MOST = 4_096
"""Connections.  Each waits for the quiet streams of 64 labels or so, and redis-py's own limit, 100, ends at 3,000 labels."""


def connect(url: str) -> Redis:
    """A connection pool whose replies to the hot commands come as they are, not as dictionaries."""
    redis: Redis = Redis.from_url(
        url, protocol=2, socket_timeout=10, socket_connect_timeout=3, health_check_interval=0, max_connections=MOST
    )
    for command in ("XREADGROUP", "XCLAIM"):
        redis.set_response_callback(command, cast(Any, lambda reply, **_: reply))
    return redis
