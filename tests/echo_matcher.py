"""A matcher without a search, for tests of the client: it announces indexes and answers as it is told."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgpack
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import ResponseError

from matcher import keys

DIM = 8

Fields = dict[bytes, bytes]
Reply = Callable[[Fields], list[dict[str, Any]]]
"""Answers to a request, without rid: none, one, or several."""


def answered(fields: Fields, **more: Any) -> dict[str, Any]:
    """An ordinary answer: two candidates, the rid being the id of the best."""
    body = {"label": fields[b"label"].decode(), "index_id": fields[b"index_id"].decode(), "watermark": None}
    return {**body, "shard": 0, "shards": 1, "result": [[fields[b"rid"].decode(), 0.9], [7, 0.5]], **more}


def refused(code: int, detail: str = "because") -> dict[str, Any]:
    """A refusal."""
    return {"error": {"error_code": code, "desc": "refused", "detail": detail}}


class Echo:
    """Serves the labels in `serving`, each from the index it names."""

    def __init__(self, url: str, name: str = "echo") -> None:
        self.redis: Any = Redis.from_url(url, socket_timeout=None)
        self.name = name
        self.serving: dict[str, str] = {"mine": "one"}
        self.shards = 1
        self.held = (0,)
        """Shards that are announced; all are answered for."""
        self.seen: list[Fields] = []
        self.reply: Reply = lambda fields: [answered(fields)]

    async def announce(self) -> None:
        """Say what is served, for five seconds."""
        indexes = [
            {"label": label, "index_id": index_id, "shard": shard, "shards": self.shards, "dim": DIM}
            for label, index_id in self.serving.items() for shard in self.held
        ]  # fmt: skip
        pipe = self.redis.pipeline(transaction=False)
        pipe.set(keys.announcement(self.name), msgpack.packb({"id": self.name, "indexes": indexes}), px=5_000)
        pipe.zadd(keys.MATCHERS, {self.name: 1})
        for label, index_id in self.serving.items():
            pipe.set(keys.serving(label), index_id)
        await pipe.execute()
        for label, index_id in self.serving.items():
            try:
                await self.redis.xgroup_create(keys.index_stream(label, index_id), "shard-0000", "0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def run(self) -> None:
        """Announce and answer, through the loss of Redis."""
        while True:
            try:
                await self.announce()
                for _ in range(20):
                    await self._turn()
            except (Lost, ResponseError, OSError):  # Redis restarts, or has forgotten our group: announce again
                await asyncio.sleep(0.001)

    async def _turn(self) -> None:
        streams = {keys.index_stream(label, index_id): ">" for label, index_id in self.serving.items()}
        if not streams:
            await asyncio.sleep(0.001)
            return
        channels: dict[bytes, list[bytes]] = defaultdict(list)
        for stream, entries in await self.redis.xreadgroup("shard-0000", self.name, streams, count=256, block=20) or []:
            for _, fields in entries:
                self.seen.append(fields)
                for body in self.reply(fields):
                    packed = msgpack.packb({"rid": fields[b"rid"].decode(), **body})
                    channels[fields[b"response_channel"]].append(packed)
            await self.redis.xack(stream, "shard-0000", *(entry for entry, _ in entries))
        for channel, parts in channels.items():
            await self.redis.publish(channel, b"".join(parts))


@asynccontextmanager
async def echoing(url: str, name: str = "echo") -> AsyncIterator[Echo]:
    """An echo matcher at work, its announcement already made."""
    echo = Echo(url, name)
    await echo.announce()
    task = asyncio.create_task(echo.run())
    try:
        yield echo
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await echo.redis.aclose()
