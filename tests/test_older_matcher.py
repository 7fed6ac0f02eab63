"""A matcher of the format before, as a process: what it announces, tells, and keeps from being served."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest
import redis
from matchers import QUICK, Matcher, Matchers, environment, matchers
from published import Published, bucket, publish_index, unit_rows
from sharded import Made, publish_sharded
from waiting import wait_until

from configs.settings import Client
from manager.connecting import connect
from manager.embedded.processes import Child, free_port
from manager.errors import Unreadable
from manager.matchers import Matchers as Announced
from manager.shelf.shelf import Shelf
from matcher.client import MatchClient
from matcher.telling import Telling
from pipeline.artifact import Store, read_head

OLDER = """
import sys
import pipeline.artifact, pipeline.artifact.manifest
pipeline.artifact.FORMAT = pipeline.artifact.manifest.FORMAT = 1
from configs.cli import main
main(sys.argv[1:])
"""
"""The matcher as it was when format 1 was the newest."""


def begin_older(group: Matchers, name: str) -> Matcher:
    port = free_port()
    command = [sys.executable, "-c", OLDER, "matcher", "--port", str(port), "--id", name]
    child = Child(name, command, group.folder / f"{name}.log", environment(group.folder, group.redis_url) | QUICK)
    group.running.append(Matcher(child.start(), port))
    return group.running[-1]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return bucket(tmp_path / "bucket")


@pytest.fixture
async def shelf(store: Store, redis_url: str) -> AsyncIterator[Shelf]:
    client = connect(redis_url, text=False, tries=0)
    yield Shelf(store, Announced(client), 0.1)
    await client.aclose()


async def test_what_an_older_matcher_cannot_read_does_not_get_to_serve(
    store: Store, shelf: Shelf, tmp_path: Path, redis_url: str
) -> None:
    publish_sharded(store, "people", "newer", Made(unit_rows(2, 300), 2))
    first = publish_index(store, "people", "older", unit_rows(1, 300))
    with matchers(tmp_path, redis_url) as group:
        old = begin_older(group, "old")
        old.child.wait_ready(lambda: old.get("/healthcheck")[0] == 200)
        (told,) = (await shelf.matchers.look(0.0)).matchers
        assert (told.format, told.labels, told.failures) == (1, 1, 0)
        with pytest.raises(Unreadable, match=r"format 2, which old \(up to format 1\) cannot read"):
            await shelf.roll("people", "newer")
        assert read_head(store, "people")[0].index_id == "older"
        await answers(redis_url, first, "older")
        old.child.stop()
        new = group.start("new")
        assert (await shelf.roll("people", "newer")).index_id == "newer"
        wait_until(lambda: new.indexes() == {"people": "newer"}, what="the roll")
        (told,) = (await shelf.matchers.look(0.0)).matchers
        assert told.format == 2


async def answers(url: str, index: Published, index_id: str) -> None:
    async with MatchClient(url, Client()) as client:
        answer = await client.match("people", index.rows[7], limit=1)
    assert (answer.index_id, answer.candidates[0].id) == (index_id, index.ids[7])


async def test_a_matcher_tells_its_rates_its_memory_its_last_look(
    store: Store, shelf: Shelf, tmp_path: Path, redis_url: str
) -> None:
    index = publish_index(store, "people", "one", unit_rows(1, 300))
    publish_index(store, "large", "two", unit_rows(2, 300), memory=1 << 50)
    with matchers(tmp_path, redis_url) as group:
        group.start("one")
        async with MatchClient(redis_url, Client()) as client:
            await client.match_many("people", index.rows[:200], limit=1)
        wait_until(lambda: rate(redis_url) > 0, what="a rate of answers")
        seen = await shelf.matchers.look(0.0)
        (told,) = seen.matchers
        assert told.requests_per_s is not None
        assert told.requests_per_s > 1
        assert told.polled is not None
        assert 0 <= seen.at - told.polled < 10
        assert abs(seen.at - time.time()) < 5
        assert (told.poll_s, told.memory, told.unreachable) == (0.2, 4 * 300 * 64, "")
        assert [(one.label, one.error_code) for one in told.failed] == [("large", 26307)]
        assert (told.failures, told.drifting, told.errors_per_s) == (1, (), 0.0)
        group.running[0].child.stop()
    assert (await shelf.matchers.look(0.0)).matchers == ()
    with redis.Redis.from_url(redis_url) as plain:
        assert not plain.exists("lim:matcher-figures:one")


def test_rates_are_those_of_the_last_ten_seconds() -> None:
    now = [0.0]
    parts: Any = SimpleNamespace(handler=SimpleNamespace(read=0), answerer=SimpleNamespace(answered=0, errors={}))
    telling = Telling(parts, lambda: now[0])
    found = []
    for second in range(1, 41):
        now[0] = float(second)
        if second <= 20:
            parts.handler.read += 50
            parts.answerer.answered += 40
            parts.answerer.errors[26304] = 10 * second
        found.append(tuple(telling.rates().values()))
    assert found[4] == found[19] == (50.0, 40.0, 10.0)
    assert found[24] == (25.0, 20.0, 5.0)
    assert found[29] == found[39] == (0.0, 0.0, 0.0)


def rate(url: str) -> float:
    with redis.Redis.from_url(url) as client:
        told = client.get("lim:matcher-figures:one")
    return float(msgpack.unpackb(told)["answered_per_s"]) if isinstance(told, bytes) else 0.0
