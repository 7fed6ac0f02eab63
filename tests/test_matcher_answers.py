"""What real matchers and clients answer on a real server to what they can answer."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from answering import PEOPLE, STREAM, World, probes_of
from matchers import Wire
from published import VERSION, Published
from waiting import wait_until

from matcher.client import MatchClient
from matcher.client_sync import SyncMatchClient
from matcher.errors import NoIndex
from matcher.messages import unpacked


@pytest.mark.parametrize("name", ["faces", "numbers", "scan"])
async def test_answers_are_those_of_numpy(world: World, name: str) -> None:
    published: Published = getattr(world, name)
    probes = probes_of(published)
    async with MatchClient(world.url) as client:
        answers = await client.match_many(published.manifest.label, probes, limit=10)
    similarities, ids = published.truth(probes, 10)
    assert np.allclose([[one.similarity for one in answer.candidates] for answer in answers], similarities, atol=1e-5)
    assert [[one.id for one in answer.candidates] for answer in answers] == ids
    first = answers[0]
    assert (first.label, first.index_id) == (published.manifest.label, published.manifest.index_id)
    assert (first.watermark, first.partial) == (published.manifest.delta_seq, False)


async def test_a_threshold_cuts_and_may_leave_nothing(world: World) -> None:
    probe = probes_of(world.faces)[0]
    similarities, ids = world.faces.truth(probe[None], 10)
    least = float(similarities[0, 3] + similarities[0, 4]) / 2
    async with MatchClient(world.url) as client:
        answer = await client.match("faces", probe, limit=10, threshold=least)
        nothing = await client.match("faces", probe, limit=10, threshold=1.5)
        everything = await client.match("faces", probe, limit=10, threshold=-1)
    assert [one.id for one in answer.candidates] == ids[0][:4]
    assert nothing.candidates == ()
    assert [one.id for one in everything.candidates] == ids[0]


async def test_similarities_are_clipped_to_0_and_1(world: World) -> None:
    async with MatchClient(world.url) as client:
        answer = await client.match("faces", world.faces.rows[5], limit=400)
    similarities = [one.similarity for one in answer.candidates]
    assert answer.candidates[0].id == "faces-1-5"
    assert similarities[0] == pytest.approx(1.0, abs=1e-3)
    assert min(similarities) == 0.0
    assert len(similarities) == 400


async def test_more_than_there_is_gives_what_there_is(world: World) -> None:
    async with MatchClient(world.url) as client:
        answer = await client.match("numbers: 1/2", world.numbers.rows[0], limit=1000)
    assert {one.id for one in answer.candidates} == set(range(-5, 295))


async def test_requests_of_all_sizes_share_a_batch(world: World) -> None:
    probe = world.faces.rows[3]
    wanted = [1, 2, 3, 5, 10, 17, 100, 399, 1000]
    async with MatchClient(world.url) as client:
        answers = await asyncio.gather(*(client.match("faces", probe, limit=limit) for limit in wanted * 5))
    assert [len(answer.candidates) for answer in answers] == [min(limit, 400) for limit in wanted] * 5


def test_half_precision_and_the_containers_bytes_are_descriptors(world: World, wire: Wire) -> None:
    row = world.faces.rows[11]
    assert wire.ask(STREAM, row.astype("<f2").tobytes())["result"][0][0] == "faces-1-11"
    levels = np.clip(np.rint(row.astype(np.float32) * 256) + 128, 0, 255).astype(np.uint8)
    packed = b"dp\0\0" + int(VERSION).to_bytes(4, "little") + levels.tobytes()
    assert wire.ask(STREAM, packed)["result"][0][0] == "faces-1-11"
    other = b"dp\0\0" + (59).to_bytes(4, "little") + levels.tobytes()
    assert wire.ask(STREAM, other)["error"]["error_code"] == 26305


@pytest.mark.parametrize("watermark", [0, 7])
async def test_a_reached_watermark_is_answered(world: World, watermark: int) -> None:
    async with MatchClient(world.url) as client:
        assert (await client.match("faces", world.faces.rows[0], min_watermark=watermark)).watermark == 7


async def test_the_best_of_each_person(world: World) -> None:
    probes = probes_of(world.faces, 20)
    async with MatchClient(world.url) as client:
        answers = await client.match_many("faces", probes, limit=5, group_by="person")
    _, ids = world.faces.truth(probes, 400)
    for answer, order in zip(answers, ids, strict=True):
        best: dict[str, str] = {}
        for name in order:
            best.setdefault(PEOPLE[int(str(name).rpartition("-")[2])], str(name))
        assert [one.id for one in answer.candidates] == list(best.values())[:5]


def test_an_answer_may_wait_in_a_stream(world: World, wire: Wire) -> None:
    name = "lim:answer:test"
    rid = wire.send(STREAM, world.faces.rows[4], response_stream=name, response_channel=None)
    wait_until(lambda: wire.redis.xlen(name) == 1, what="the answer in the stream")
    ((_, fields),) = wire.redis.xrange(name)
    (answer,) = unpacked(fields[b"answer"])
    assert (answer["rid"], answer["result"][0][0]) == (rid, "faces-1-4")
    assert 0 < wire.redis.ttl(name) <= 600


def test_the_originals_request_gets_exactly_one_answer(world: World, wire: Wire) -> None:
    rids = [wire.send("faces", world.faces.rows[number], v=None, label="faces") for number in range(20)]
    answers = [unpacked(message) for message in wire.messages(20)]
    assert sorted(one["rid"] for (one,) in answers) == sorted(rids)  # one to a message
    assert all(one["result"][0][1] == pytest.approx(1, abs=1e-3) for (one,) in answers)
    assert wire.ask(STREAM, world.faces.rows[0])["result"]  # whatever came late would have come before this
    assert wire.redis.xpending("faces", "lim_matcher")["pending"] == 0


def test_the_sync_client_serves_threads(world: World) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with SyncMatchClient(world.url) as client, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: client.match("faces", world.faces.rows[number]), range(40)))
        many = client.match_many("faces", world.faces.rows[:3], limit=2)
        seen = client.match_labels(["faces", "scan"], world.faces.rows[3])
        with pytest.raises(NoIndex):
            client.match("strangers", world.faces.rows[0])
    assert [answer.candidates[0].id for answer in found] == [f"faces-1-{number}" for number in range(40)]
    assert [len(answer.candidates) for answer in many] == [2, 2, 2]
    assert (seen[0].id, seen[0].label) == ("faces-1-3", "faces")


async def test_watchlists_are_merged_best_first(world: World) -> None:
    probe = (world.faces.rows[7].astype(np.float32) + world.scan.rows[8].astype(np.float32)) / 2
    async with MatchClient(world.url) as client:
        found = await client.match_labels(["faces", "scan"], probe, limit=6)
    assert {found[0][::2], found[1][::2]} == {("faces-1-7", "faces"), ("scan-1-8", "scan")}
    assert [one.similarity for one in found] == sorted((one.similarity for one in found), reverse=True)
    assert len(found) == 6
