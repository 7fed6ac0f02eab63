"""A load on matchers, and requests that nobody repeats: what must survive every fault."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from matchers import Matchers, Wire, matchers
from published import Published, bucket, publish_index, unit_rows
from waiting import wait_until

from configs.settings import Client
from matcher import keys
from matcher.client import MatchClient
from matcher.errors import MatchError
from matcher.merge import Answer
from pipeline.artifact import Store

LABEL = "crowd"


DEADLINE_S = 5.0


@dataclass
class World:
    """A bucket with one index, and room for matchers."""

    url: str
    store: Store
    group: Matchers
    index: Published


@contextmanager
def world_of(folder: Path, url: str) -> Iterator[World]:
    store = bucket(folder / "bucket")
    index = publish_index(store, LABEL, "old", unit_rows(1, 300))
    with matchers(folder, url) as group:
        yield World(url, store, group, index)


@dataclass
class Load:
    """A client that keeps requests in flight from a thread of its own."""

    url: str
    probes: np.ndarray
    rate: float = 300.0
    answers: list[tuple[int, Answer, float]] = field(default_factory=list)
    """Number of the probe, its answer, seconds."""
    errors: list[MatchError] = field(default_factory=list)
    sent: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Load:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        self.more(20)
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._thread.join()

    def more(self, count: int, timeout_s: float = 10.0) -> None:
        """Wait until as many more requests have ended."""
        until = len(self.answers) + len(self.errors) + count
        wait_until(lambda: len(self.answers) + len(self.errors) >= until, timeout_s=timeout_s, what=f"{count} answers")

    async def _run(self) -> None:
        async with MatchClient(self.url, Client(timeout_ms=int(DEADLINE_S * 1000))) as client:
            tasks = set()
            began = time.monotonic()
            while not self.over.is_set():
                while self.sent < (time.monotonic() - began) * self.rate:
                    tasks.add(asyncio.create_task(self._ask(client, self.sent % len(self.probes))))
                    self.sent += 1
                await asyncio.sleep(0.005)
            await asyncio.gather(*tasks)

    async def _ask(self, client: MatchClient, number: int) -> None:
        began = time.monotonic()
        try:
            answer = await client.match(LABEL, self.probes[number])
            self.answers.append((number, answer, time.monotonic() - began))
        except MatchError as error:
            self.errors.append(error)

    def verify(self) -> None:
        """Everything that was sent was answered in time, and answered right."""
        assert not self.errors, self.errors[:3]
        assert len(self.answers) == self.sent
        assert max(seconds for _, _, seconds in self.answers) < DEADLINE_S


@dataclass
class OldLoad:
    """A client that speaks as the original's does: the label's stream, no `v`, one message an answer."""

    url: str
    probes: np.ndarray
    rate: float = 100.0
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    """Number of the probe, with its answer."""
    sent: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> OldLoad:
        self.wire = Wire(self.url)
        self._rids: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.until(lambda: len(self.answers) > 5)
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._thread.join()
        self.wire.close()

    def until(self, predicate: Callable[[], bool]) -> None:
        """Wait while it asks on."""
        wait_until(predicate, timeout_s=20, what="an answer to the original's client")

    def latest(self) -> set[str]:
        """Indexes of the last answers."""
        return {body.get("index_id", "") for _, body in self.answers[-30:]}

    def _run(self) -> None:
        began = time.monotonic()
        while not self.over.is_set():
            while self.sent < (time.monotonic() - began) * self.rate:
                number = self.sent % len(self.probes)
                rid = self.wire.send(LABEL, self.probes[number], v=None, ttl_ms=int(DEADLINE_S * 1000))
                self._rids[rid] = number
                self.sent += 1
            self._receive(0.02)
        until = time.monotonic() + DEADLINE_S + 1
        while set(self._rids) - {body["rid"] for _, body in self.answers} and time.monotonic() < until:
            self._receive(0.1)

    def _receive(self, seconds: float) -> None:
        for message in self.wire.messages(1000, seconds):
            body = msgpack.unpackb(message)
            self.answers.append((self._rids[body["rid"]], body))

    def verify(self) -> None:
        """Everything that was sent was answered, without an error; a second answer to one is allowed, and the same."""
        assert not [body for _, body in self.answers if "error" in body][:3]
        assert {body["rid"] for _, body in self.answers} == set(self._rids)


NAMES = itertools.count()


class Mail:
    """Requests that nobody repeats: written once, their answers kept in a stream."""

    def __init__(self, url: str, index: Published) -> None:
        self.wire = Wire(url)
        self.index = index
        self.stream = keys.index_stream(LABEL, index.manifest.index_id)
        self.name = f"lim:answer:mail-{next(NAMES)}"
        self.rids: list[str] = []

    def post(self, count: int, **fields: str | int | None) -> None:
        """Write requests."""
        for _ in range(count):
            row = self.index.rows[len(self.rids) % len(self.index.rows)]
            more = {"response_stream": self.name, "response_channel": None, "ttl_ms": 60_000} | fields
            self.rids.append(self.wire.send(self.stream, row, **more))

    def answered(self) -> dict[str, dict]:
        """Answers by rid."""
        found = [msgpack.unpackb(fields[b"answer"]) for _, fields in self.wire.redis.xrange(self.name)]
        return {one["rid"]: one for one in found}

    def pending(self) -> int:
        """Requests that were delivered and not acknowledged."""
        return int(self.wire.redis.xpending(self.stream, keys.shard_group(0))["pending"])

    def verify(self, timeout_s: float = 15.0) -> None:
        """Every request is answered, with the right row, and nothing stays behind."""
        wait_until(lambda: len(self.answered()) == len(self.rids), timeout_s=timeout_s, what="every answer")
        found = self.answered()
        for number, rid in enumerate(self.rids):
            assert found[rid]["result"][0][0] == self.index.ids[number % len(self.index.ids)]
        wait_until(lambda: self.pending() == 0, what="every acknowledgement")

    def close(self) -> None:
        self.wire.close()


def served_by(mail: Mail) -> set[str]:
    """Consumers that the group knows."""
    return {one["name"].decode() for one in mail.wire.redis.xinfo_consumers(mail.stream, keys.shard_group(0))}


def claim_for(mail: Mail, name: str, count: int) -> None:
    """Requests as a matcher leaves them that died between reading and answering: delivered, not acknowledged."""
    group = keys.shard_group(0)
    pipe = mail.wire.redis.pipeline(transaction=True)  # nobody reads in between
    row = mail.index.rows
    for _ in range(count):
        rid = f"claimed-{len(mail.rids)}"
        fields = {
            "rid": rid, "v": 1, "descriptor": row[len(mail.rids) % len(row)].astype("<f4").tobytes(), "limit": 3,
            "response_stream": mail.name, "ttl_ms": 60_000,
        }  # fmt: skip
        mail.rids.append(rid)
        pipe.xadd(mail.stream, fields)
    pipe.xreadgroup(group, name, {mail.stream: ">"}, count=count)
    pipe.execute()
