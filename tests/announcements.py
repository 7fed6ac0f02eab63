"""Announcements of matchers that do not run, as they lie in Redis."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgpack
import redis

TTL_MS = 600_000


def holding(label: str, index_id: str, shard: int = 0, shards: int = 1, *, retired: bool = False) -> dict[str, Any]:
    """A shard that is held."""
    return {
        "label": label, "index_id": index_id, "shard": shard, "shards": shards, "watermark": 0, "rows": 5, "dim": 16,
        "descriptor_version": "62", "memory": 100, "retired": retired,
    }  # fmt: skip


def announce(
    url: str, name: str, *indexes: dict[str, Any], format_: int = 2, loading: tuple[dict[str, Any], ...] = (),
    figures: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """What a matcher of this name would have announced; `figures` is the second key, which older ones do not have."""
    body = {
        "id": name, "format": format_, "protocol": 1, "started": time.time() - 60, "indexes": list(indexes),
        "loading": list(loading),
    }  # fmt: skip
    with redis.Redis.from_url(url) as client:
        client.set(f"lim:matcher:{name}", msgpack.packb(body), px=TTL_MS)
        client.zadd("lim:matchers", {name: (time.time() + TTL_MS / 1000) * 1000})
        if figures is not None:
            client.set(f"lim:matcher-figures:{name}", msgpack.packb(dict(figures)), px=TTL_MS)


def gone(url: str, name: str) -> None:
    """It has ended."""
    with redis.Redis.from_url(url) as client:
        client.zrem("lim:matchers", name)
        client.delete(f"lim:matcher:{name}", f"lim:matcher-figures:{name}")
