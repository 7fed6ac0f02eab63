"""What real matchers and clients say to what they cannot answer."""

from __future__ import annotations

import asyncio
import signal

import numpy as np
import pytest
import redis
from answering import STREAM, World
from matchers import Wire
from published import DIM, publish_index, unit_rows
from waiting import eventually, wait_until

from configs.settings import Client
from matcher import keys
from matcher.client import MatchClient
from matcher.errors import BadDescriptor, BadRequest, Busy, NoIndex, TimedOut, TooOld, VersionDiffers
from matcher.messages import unpacked


@pytest.mark.parametrize("limit", [0, -3])
async def test_no_candidates_cannot_be_asked_for(world: World, wire: Wire, limit: int) -> None:
    async with MatchClient(world.url) as client:
        with pytest.raises(BadRequest, match="limit: expected 1 or more"):
            await client.match("faces", world.faces.rows[0], limit=limit)
    error = wire.ask(STREAM, world.faces.rows[0], limit=limit)["error"]
    assert (error["error_code"], error["detail"]) == (26311, f"limit: expected 1 to 1000, got {limit}")


async def test_a_limit_of_10_000_is_refused_with_the_bound(world: World) -> None:
    async with MatchClient(world.url) as client:
        with pytest.raises(BadRequest, match="limit: expected 1 to 1000, got 10000"):
            await client.match("faces", world.faces.rows[0], limit=10_000)


@pytest.mark.parametrize("dim", [DIM - 1, DIM * 2, 0])
async def test_the_client_knows_the_dimension(world: World, dim: int) -> None:
    async with MatchClient(world.url) as client:
        with pytest.raises(BadDescriptor, match=rf"expected a descriptor of {DIM} numbers, got shape \({dim},\)"):
            await client.match("faces", np.ones(dim))


@pytest.mark.parametrize(
    ("blob", "why"),
    [
        (b"", "got 0 bytes"),
        (bytes(4 * DIM - 1), f"got {4 * DIM - 1} bytes"),
        (np.ones(DIM + 1, "<f4").tobytes(), f"got {4 * DIM + 4} bytes"),
        (np.full(DIM, np.nan, "<f4").tobytes(), "NaN or infinity"),
        (np.full(DIM, np.inf, "<f2").tobytes(), "NaN or infinity"),
        (np.zeros(DIM, "<f4").tobytes(), "only zeros"),
        (np.full(DIM, 3e38, "<f4").tobytes(), "NaN or infinity"),
    ],
)
def test_descriptors_that_cannot_be_read_are_26302(wire: Wire, blob: bytes, why: str) -> None:
    error = wire.ask(STREAM, blob)["error"]
    assert (error["error_code"], error["desc"]) == (26302, "descriptor cannot be read")
    assert why in error["detail"]


def test_a_bad_descriptor_harms_no_other_in_its_batch(world: World, wire: Wire) -> None:
    rids = [wire.send(STREAM, b"short" if number % 3 == 0 else world.faces.rows[number]) for number in range(90)]
    found: dict[str, dict] = {}
    while len(found) < 90:
        (message,) = wire.messages(1)
        found |= {one["rid"]: one for one in unpacked(message)}
    for number, rid in enumerate(rids):
        if number % 3 == 0:
            assert found[rid]["error"]["error_code"] == 26302
        else:
            assert found[rid]["result"][0][0] == f"faces-1-{number}"


async def test_another_models_descriptors_are_26305(world: World) -> None:
    async with MatchClient(world.url) as client:
        with pytest.raises(VersionDiffers, match="expected descriptors of version '62', got '59'"):
            await client.match("faces", world.faces.rows[0], descriptor_version="59")
        assert (await client.match("faces", world.faces.rows[0], descriptor_version="62")).candidates


async def test_the_client_says_at_once_that_nobody_serves_a_label(world: World) -> None:
    with redis.Redis.from_url(world.url) as line:
        async with MatchClient(world.url) as client:
            with pytest.raises(NoIndex, match=r"nobody serves label 'strangers'.*lim matcher"):
                await client.match("strangers", world.faces.rows[0])
        assert not line.exists("strangers")  # nothing was sent


async def test_a_later_watermark_is_refused(world: World) -> None:
    async with MatchClient(world.url) as client:
        with pytest.raises(TooOld, match="expected at least 8, the index reflects 7"):
            await client.match("faces", world.faces.rows[0], min_watermark=8)


async def test_people_that_an_index_does_not_know_cannot_be_grouped(world: World, wire: Wire) -> None:
    async with MatchClient(world.url) as client:
        with pytest.raises(BadRequest, match="the index does not know people"):
            await client.match("scan", world.scan.rows[0], group_by="person")
    assert "group_by: expected person" in wire.ask(STREAM, world.faces.rows[0], group_by="age")["error"]["detail"]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"limit": "ten"}, "limit: expected an integer"),
        ({"threshold": "high"}, "threshold: expected a number"),
        ({"threshold": "nan"}, "threshold: expected a number"),
        ({"min_watermark": "x"}, "min_watermark: expected an integer"),
    ],
)
def test_fields_out_of_bounds_are_26311(world: World, wire: Wire, fields: dict[str, str], why: str) -> None:
    error = wire.ask(STREAM, world.faces.rows[0], **fields)["error"]
    assert error["error_code"] == 26311
    assert why in error["detail"]


def letters(wire: Wire, stream: str = STREAM) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in wire.redis.xrange(keys.dead(stream))]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"response_stream": "faces"}, b"response_stream: expected a name that begins with lim:answer:"),
        ({"rid": None}, b"expected a field rid, got none"),
        ({"rid": b"\xff\xfe"}, b"rid: expected UTF-8"),
        ({"response_channel": None}, b"expected a field response_channel or response_stream, got neither"),
    ],
)
def test_what_cannot_be_answered_goes_to_the_dead_letters(
    world: World, wire: Wire, fields: dict[str, str | None], why: bytes
) -> None:
    before = len(letters(wire))
    wire.send(STREAM, world.faces.rows[0], mark=why, **fields)
    assert wire.ask(STREAM, world.faces.rows[1])["result"][0][0] == "faces-1-1"  # the next one is answered
    wait_until(lambda: len(letters(wire)) == before + 1, what="the dead letter")
    letter = letters(wire)[-1]
    assert letter[b"mark"] == why
    assert why in letter[b"reason"]
    assert letter[b"descriptor"] == world.faces.rows[0].astype("<f4").tobytes()
    assert not wire.redis.exists("faces:dead:faces")
    wait_until(lambda: wire.redis.xpending(STREAM, "shard-0000")["pending"] == 0, what="its acknowledgement")


def test_an_answer_stream_of_another_type_harms_nobody(world: World, wire: Wire) -> None:
    wire.redis.set("lim:answer:odd", "a string")
    wire.send(STREAM, world.faces.rows[0], response_stream="lim:answer:odd")
    assert wire.ask(STREAM, world.faces.rows[1])["result"][0][0] == "faces-1-1"
    wait_until(lambda: wire.redis.xpending(STREAM, "shard-0000")["pending"] == 0, what="its acknowledgement")


def test_past_its_deadline_a_request_is_expired_and_not_searched(world: World, wire: Wire) -> None:
    error = wire.ask(STREAM, world.faces.rows[0], ttl_ms=-1)["error"]
    assert (error["error_code"], error["desc"]) == (26310, "expired")


async def test_an_unread_request_times_out_in_the_client(world: World) -> None:
    async with MatchClient(world.url, Client(timeout_ms=200)) as client:
        await client.match("faces", world.faces.rows[0])
        world.matcher.signal(signal.SIGSTOP)
        try:
            with pytest.raises(TimedOut, match="no answer for label 'faces' in time"):
                await client.match("faces", world.faces.rows[0])
        finally:
            world.matcher.signal(signal.SIGCONT)
        await eventually(lambda: client.counts.duplicates == 2, what="late answers to the request and to its repeat")


async def test_too_long_a_queue_is_busy_at_once(world: World) -> None:
    quiet = publish_index(world.store, "quiet", "quiet-1", unit_rows(40))  # nothing was read of it, so nothing is told
    await asyncio.to_thread(wait_until, lambda: "quiet" in world.matcher.indexes(), what="loading")
    with redis.Redis.from_url(world.url) as line:
        line.set(keys.backlog("quiet"), 11, px=5000)
        async with MatchClient(world.url, Client(max_backlog=11, refresh_s=0.05)) as client:
            with pytest.raises(Busy, match="11 requests are waiting, 11 are allowed"):
                await client.match("quiet", quiet.rows[0])
            assert line.xlen("quiet:quiet-1") == 0
            line.delete(keys.backlog("quiet"))
            await eventually(lambda: not client.backlog("quiet"), what="the client's next look")
            assert (await client.match("quiet", quiet.rows[0])).candidates


async def test_a_bad_probe_ends_a_stream_and_leaves_nothing_behind(world: World) -> None:
    probes = [*world.faces.rows[:30], np.ones(3)]
    async with MatchClient(world.url, Client(in_flight=4)) as client:
        with pytest.raises(BadDescriptor):
            [answer async for answer in client.stream("faces", probes)]
        async for answer in client.stream("faces", world.faces.rows[:50]):
            assert answer.candidates
            break
        mine = {task.get_name() for task in asyncio.all_tasks() if "feed" in repr(task.get_coro())}
        wait = asyncio.get_running_loop().time() + 5
        while mine and asyncio.get_running_loop().time() < wait:
            await asyncio.sleep(0.01)
            mine = {task.get_name() for task in asyncio.all_tasks() if "feed" in repr(task.get_coro())}
        assert not mine


async def test_rubbish_on_its_channel_does_not_deafen_a_client(world: World) -> None:
    with redis.Redis.from_url(world.url) as line:
        async with MatchClient(world.url, Client(timeout_ms=2000)) as client:
            for rubbish in (b"\xc1", b"", b"\x01", b"\x81\xa1x\x01", b"\x81\xa3rid\x01", b"not msgpack"):
                line.publish(keys.answer_channel(client.id), rubbish)
            assert (await client.match("faces", world.faces.rows[0])).candidates
