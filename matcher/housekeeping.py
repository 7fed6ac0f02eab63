"""Once a second: publishes how much is waiting, and trims what has been answered."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from matcher import keys

BACKLOG_TTL_MS = 3_000
AT_ONCE = 200
"""Streams looked at in one round trip."""


class Housekeeping:
    """Looks at streams that were read since the last time; a quiet one has neither backlog nor anything to trim."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._touched: set[tuple[str, str]] = set()
        self.backlog: dict[str, int] = {}
        """Waiting requests by label, as last published."""

    def touched(self, stream: str, label: str) -> None:
        """Something was read from a stream."""
        self._touched.add((stream, label))

    def waiting_in(self, stream: str) -> bool:
        """Whether the last look found something unanswered in a stream, or something was read since."""
        return any(one == stream for one, _ in self._touched)

    async def run(self) -> None:
        """Publish the backlog of touched streams and trim them."""
        streams, self._touched = list(self._touched), set()
        waiting: dict[str, int] = dict.fromkeys(self.backlog, 0)
        for start in range(0, len(streams), AT_ONCE):
            part = streams[start : start + AT_ONCE]
            pipe = self._redis.pipeline(transaction=False)
            for stream, _ in part:
                pipe.execute_command("XINFO GROUPS", stream)
            for (stream, label), groups in zip(part, await pipe.execute(raise_on_error=False), strict=True):
                if isinstance(groups, ResponseError):
                    continue  # deleted since it was read
                behind = max((int(group["pending"]) + int(group.get("lag") or 0) for group in groups), default=0)
                waiting[label] = max(waiting.get(label, 0), behind)
                if behind:
                    self._touched.add((stream, label))  # look again, also if nothing is read meanwhile
                await self._trim(stream, groups)
        await self._publish(waiting)

    async def _publish(self, waiting: dict[str, int]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for label, count in waiting.items():
            if count:
                pipe.set(keys.backlog(label), count, px=BACKLOG_TTL_MS)
            else:
                pipe.delete(keys.backlog(label))
        if waiting:
            await pipe.execute()
        self.backlog = {label: count for label, count in waiting.items() if count}

    async def _trim(self, stream: str, groups: list[dict[str, Any]]) -> None:
        """Remove every entry that all groups have acknowledged: below the first pending, else below the last delivered."""
        least: list[tuple[int, int]] = []
        for group in groups:
            first = group["last-delivered-id"]
            if group["pending"]:
                first = (await self._redis.xpending(stream, group["name"]))["min"] or first
            milliseconds, _, number = first.decode().partition("-")
            least.append((int(milliseconds), int(number)))
        if least and min(least) > (0, 0):
            milliseconds, number = min(least)
            await self._redis.xtrim(stream, minid=f"{milliseconds}-{number}", approximate=False)
