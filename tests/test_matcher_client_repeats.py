"""Requests that are not simply answered: lost, stale, repeated, cancelled, of several shards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from echo_matcher import DIM, Echo, Fields, answered, echoing, refused
from waiting import eventually

from configs.settings import Client
from matcher import keys
from matcher.client import MatchClient
from matcher.errors import TimedOut

PROBE = np.eye(1, DIM, dtype=np.float32)[0]
QUICK = Client(timeout_ms=2_000, refresh_s=0.1)


@pytest.fixture
async def echo(redis_url: str) -> AsyncIterator[Echo]:
    async with echoing(redis_url) as matcher:
        yield matcher


@pytest.fixture
async def client(redis_url: str, echo: Echo) -> AsyncIterator[MatchClient]:
    async with MatchClient(redis_url, QUICK) as one:
        yield one


async def test_no_answer_is_repeated_once_under_the_same_rid_then_timed_out(client: MatchClient, echo: Echo) -> None:
    echo.reply = lambda fields: []
    began = asyncio.get_running_loop().time()
    with pytest.raises(
        TimedOut, match=r"no answer for label 'mine' in time, 0.4 s, asked 2 times, 0 requests are waiting"
    ):
        await client.match("mine", PROBE, timeout_s=0.4)
    assert 0.4 <= asyncio.get_running_loop().time() - began < 0.8
    assert [fields[b"rid"] for fields in echo.seen] == [f"{client.id}-1".encode()] * 2
    first, second = (int(fields[b"ttl_ms"]) for fields in echo.seen)
    assert first == 400
    assert 100 <= second <= 200  # what is left, not a new life


async def test_a_lost_answer_is_made_good_by_the_repeat(client: MatchClient, echo: Echo) -> None:
    echo.reply = lambda fields: [answered(fields)] if len(echo.seen) > 1 else []
    answer = await client.match("mine", PROBE, timeout_s=1.0)
    assert answer.candidates[0].id == f"{client.id}-1"
    assert client.counts.repeated == 1


async def test_a_long_queue_is_not_made_longer_by_repeats(redis_url: str, echo: Echo) -> None:
    echo.reply = lambda fields: []
    async with MatchClient(redis_url, Client(in_flight=4, refresh_s=0.05)) as client:
        await echo.redis.set(keys.backlog("mine"), 5)
        with pytest.raises(TimedOut, match="asked 1 times, 5 requests are waiting"):
            await client.match("mine", PROBE, timeout_s=0.4)
    assert len(echo.seen) == 1


async def test_a_second_answer_is_dropped(client: MatchClient, echo: Echo) -> None:
    echo.reply = lambda fields: [answered(fields), answered(fields, result=[["second", 1.0]])]
    answers = [await client.match("mine", PROBE) for _ in range(3)]
    assert [answer.candidates[0].similarity for answer in answers] == [0.9] * 3
    assert client.counts.duplicates == 3


async def test_stale_goes_to_the_new_index_under_the_same_rid(client: MatchClient, echo: Echo) -> None:
    await client.match("mine", PROBE)

    def reply(fields: Fields) -> list[dict[str, Any]]:
        return [refused(26312)] if fields[b"index_id"] == b"one" else [answered(fields)]

    echo.reply = reply
    echo.serving["mine"] = "two"
    await echo.announce()
    echo.serving["old"] = "unused"
    answer = await client.match("mine", PROBE)
    assert answer.index_id == "two"
    assert answer.candidates[0].id == f"{client.id}-2"


async def test_a_stream_that_is_gone_is_as_stale(client: MatchClient, echo: Echo) -> None:
    await client.match("mine", PROBE)
    echo.serving["mine"] = "two"
    await echo.announce()
    await echo.redis.delete(keys.index_stream("mine", "one"))
    assert (await client.match("mine", PROBE)).index_id == "two"
    assert not await echo.redis.exists(keys.index_stream("mine", "one"))


async def test_a_cancelled_request_is_forgotten(client: MatchClient, echo: Echo) -> None:
    echo.reply = lambda fields: []
    task = asyncio.create_task(client.match("mine", PROBE, timeout_s=0.3))
    await eventually(lambda: echo.seen)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: client.under_way == 0)  # at the latest when it would have been repeated
    assert len(echo.seen) == 1


async def test_closing_ends_what_is_under_way(redis_url: str, echo: Echo) -> None:
    echo.reply = lambda fields: []
    async with MatchClient(redis_url, QUICK) as client:
        future = await client.send("mine", PROBE)
    with pytest.raises(TimedOut, match="the client was closed"):
        await future


async def test_messages_of_others_on_the_channel_do_no_harm(client: MatchClient, echo: Echo) -> None:
    channel = keys.answer_channel(client.id)
    for junk in (b"", b"\xc1", b"hello", b"\x01", b"\x81\xa3rid\xa1x", b"\x81\xa3rid\x90"):
        await echo.redis.publish(channel, junk)
    await client.match("mine", PROBE)
    assert client.counts.foreign >= 3


async def test_shards_are_merged_and_a_missing_one_is_not_hidden(client: MatchClient, echo: Echo) -> None:
    def both(fields: Fields) -> list[dict[str, Any]]:
        return [
            answered(fields, shard=1, shards=2, result=[["c", 0.8], ["d", 0.1]]),
            answered(fields, shard=0, shards=2, result=[["a", 0.9], ["b", 0.5]]),
        ]

    echo.reply = both
    answer = await client.match("mine", PROBE, limit=3)
    assert [candidate.id for candidate in answer.candidates] == ["a", "c", "b"]
    assert not answer.partial
    echo.reply = lambda fields: both(fields)[:1]
    with pytest.raises(TimedOut, match=r"only shards \[1\] answered"):
        await client.match("mine", PROBE, timeout_s=0.3)
    answer = await client.match("mine", PROBE, timeout_s=0.3, allow_partial=True)
    assert answer.partial
    assert [candidate.id for candidate in answer.candidates] == ["c", "d"]


async def test_shards_of_two_indexes_are_never_mixed(client: MatchClient, echo: Echo) -> None:
    parts = [
        {"shard": 0, "index_id": "old", "result": [["old", 0.99]]},
        {"shard": 1, "index_id": "new", "result": [["c", 0.8]]},
        {"shard": 0, "index_id": "new", "result": [["a", 0.9]]},
    ]
    echo.reply = lambda fields: [answered(fields, shards=2, **part) for part in parts]
    answer = await client.match("mine", PROBE)
    assert answer.index_id == "new"
    assert [candidate.id for candidate in answer.candidates] == ["a", "c"]
