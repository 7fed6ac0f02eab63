"""Real matcher processes on a real server: what they answer to good and to bad requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import redis
from matchers import Matcher, Matchers, Wire, matchers
from published import DIM, VERSION, Published, bucket, publish_index, unit_rows
from waiting import wait_until

from configs.settings import Client
from matcher import keys
from matcher.client import MatchClient
from matcher.client_sync import SyncMatchClient
from matcher.errors import BadDescriptor, BadRequest, Busy, NoIndex, TimedOut, TooOld, VersionDiffers
from matcher.messages import unpacked
from pipeline.artifact import Store, head_key, index_prefix, move_head

PEOPLE = [f"p{number // 2}" for number in range(400)]
"""Two rows of each person."""


@dataclass
class World:
    """One matcher over a bucket with a few labels."""

    url: str
    store: Store
    group: Matchers
    matcher: Matcher
    faces: Published
    numbers: Published
    scan: Published


@pytest.fixture(scope="module")
def world(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    folder = tmp_path_factory.mktemp("answers")
    store = bucket(folder / "bucket")
    faces = publish_index(store, "faces", "faces-1", unit_rows(1), people=PEOPLE, delta_seq=7)
    numbers = publish_index(store, "numbers: 1/2", "numbers-1", unit_rows(2, 300, 48), ids=range(-5, 295))
    scan = publish_index(store, "scan", "scan-1", unit_rows(3), recipe="scan")
    with matchers(folder, valkey_url) as group:
        yield World(valkey_url, store, group, group.start(), faces, numbers, scan)


@pytest.fixture
def wire(world: World) -> Iterator[Wire]:
    line = Wire(world.url)
    yield line
    line.close()


def probes_of(published: Published, count: int = 100) -> np.ndarray:
    """Photos of the first rows, of any length."""
    noise = np.random.default_rng(9).standard_normal((count, published.rows.shape[1])) * 0.05
    return ((published.rows[:count] + noise) * 3).astype(np.float32)


STREAM = "faces:faces-1"


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


def test_half_precision_and_the_containers_bytes_are_descriptors(world: World, wire: Wire) -> None:
    row = world.faces.rows[11]
    assert wire.ask(STREAM, row.astype("<f2").tobytes())["result"][0][0] == "faces-1-11"
    levels = np.clip(np.rint(row.astype(np.float32) * 256) + 128, 0, 255).astype(np.uint8)
    packed = b"dp\0\0" + int(VERSION).to_bytes(4, "little") + levels.tobytes()
    assert wire.ask(STREAM, packed)["result"][0][0] == "faces-1-11"
    other = b"dp\0\0" + (59).to_bytes(4, "little") + levels.tobytes()
    assert wire.ask(STREAM, other)["error"]["error_code"] == 26305


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


@pytest.mark.parametrize("watermark", [0, 7])
async def test_a_reached_watermark_is_answered(world: World, watermark: int) -> None:
    async with MatchClient(world.url) as client:
        assert (await client.match("faces", world.faces.rows[0], min_watermark=watermark)).watermark == 7


async def test_a_later_watermark_is_refused(world: World) -> None:
    async with MatchClient(world.url) as client:
        with pytest.raises(TooOld, match="expected at least 8, the index reflects 7"):
            await client.match("faces", world.faces.rows[0], min_watermark=8)


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


def test_an_answer_may_wait_in_a_stream(world: World, wire: Wire) -> None:
    name = "lim:answer:test"
    rid = wire.send(STREAM, world.faces.rows[4], response_stream=name, response_channel=None)
    wait_until(lambda: wire.redis.xlen(name) == 1, what="the answer in the stream")
    ((_, fields),) = wire.redis.xrange(name)
    (answer,) = unpacked(fields[b"answer"])
    assert (answer["rid"], answer["result"][0][0]) == (rid, "faces-1-4")
    assert 0 < wire.redis.ttl(name) <= 600


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
        with redis.Redis.from_url(world.url) as line:
            held = line.get(keys.serving("faces"))
            try:
                served = client.directory.labels["faces"]
                client.directory.labels["faces"] = {"nowhere": replace(next(iter(served.values())), index_id="nowhere")}
                with pytest.raises(TimedOut, match="no answer for label 'faces' in time"):
                    await client.match("faces", world.faces.rows[0])
            finally:
                line.delete(keys.index_stream("faces", "nowhere"))
                assert line.get(keys.serving("faces")) == held


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
            await asyncio.to_thread(wait_until, lambda: not client.directory.backlog, what="the client's next look")
            assert (await client.match("quiet", quiet.rows[0])).candidates


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


def test_pages_for_operators(world: World) -> None:
    status, body = world.matcher.get("/healthcheck")
    assert (status, json.loads(body)["status"], json.loads(body)["problems"]) == (200, "ok", [])
    version = world.matcher.page("/version")["Version"]
    assert sorted(version) == ["api", "major", "minor", "patch"]
    assert all(isinstance(part, int) for part in version.values())
    faces = next(one for one in world.matcher.page("/indexes")["indexes"] if one["label"] == "faces")
    assert (faces["index_id"], faces["rows"], faces["recipe"], faces["watermark"]) == ("faces-1", 400, "exact", 7)
    text = world.matcher.get("/metrics")[1]
    assert 'lim_index_rows{index_id="faces-1",label="faces"} 400.0' in text
    assert "process_resident_memory_bytes" in text


def test_metrics_count(world: World, wire: Wire) -> None:
    def value(name: str) -> float:
        lines = world.matcher.get("/metrics")[1].splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), 0.0)

    names = ("lim_requests_read_total", "lim_requests_answered_total", 'lim_errors_total{error_code="26302"}')
    before = {name: value(name) for name in names}
    wire.ask(STREAM, world.faces.rows[0])
    wire.ask(STREAM, b"")
    assert [value(name) - before[name] for name in names] == [2, 2, 1]


def test_the_configuration_hides_secrets(world: World, tmp_path: Path) -> None:
    shown = world.matcher.page("/config")
    assert shown["matcher"]["poll_s"] == 0.2
    secret = {
        "LIM_STORAGE__ACCESS_KEY": "key-of-mine", "LIM_STORAGE__SECRET_KEY": "hush-hush",
        "LIM_REDIS__URL": world.url.replace("redis://", "redis://default:pass-word@"),
    }  # fmt: skip
    with redis.Redis.from_url(world.url) as line:
        line.acl_setuser(
            "guarded", enabled=True, passwords=["+pass-word"], commands=["+@all"], keys=["*"], channels=["*"]
        )
        secret["LIM_REDIS__URL"] = world.url.replace("redis://", "redis://guarded:pass-word@")
        bucket(tmp_path / "bucket")
        with matchers(tmp_path, world.url) as group:
            one = group.start("guarded", **secret)
            text = one.get("/config")[1] + one.child.log.read_text()
        line.acl_deluser("guarded")
    assert "guarded" in text
    for word in ("hush-hush", "pass-word", "key-of-mine"):
        assert word not in text


def test_an_index_named_by_a_late_client_is_stale(world: World, wire: Wire) -> None:
    publish_index(world.store, "moving", "moving-1", unit_rows(20))
    wait_until(lambda: world.matcher.indexes().get("moving") == "moving-1", what="loading")
    second = publish_index(world.store, "moving", "moving-2", unit_rows(21))
    wait_until(lambda: wire.redis.get(keys.serving("moving")) == b"moving-2", what="the move")
    answer = wire.ask("moving:moving-1", second.rows[0])
    assert answer["index_id"] == "moving-1"  # it answers on for the clients' refresh
    assert all(name.startswith("moving-1-") for name, _ in answer["result"])
    retired = lambda: [one for one in world.matcher.page("/indexes")["indexes"] if one["retired"]]  # noqa: E731
    wait_until(lambda: not retired(), timeout_s=15, what="freeing the old index")
    error = wire.ask("moving:moving-1", second.rows[0])["error"]
    assert (error["error_code"], error["desc"]) == (26312, "stale")


async def test_the_client_repeats_a_stale_request_where_the_label_is_served(world: World) -> None:
    publish_index(world.store, "repeat", "repeat-1", unit_rows(22))
    wait_until(lambda: world.matcher.indexes().get("repeat") == "repeat-1", what="loading")
    async with MatchClient(world.url, Client(refresh_s=3600)) as client:  # it never looks by itself
        assert (await client.match("repeat", unit_rows(22)[0])).index_id == "repeat-1"
        publish_index(world.store, "repeat", "repeat-2", unit_rows(23))
        held = lambda: [one["index_id"] for one in world.matcher.page("/indexes")["indexes"]]  # noqa: E731
        await asyncio.to_thread(wait_until, lambda: "repeat-1" not in held(), timeout_s=15, what="freeing")
        answer = await client.match("repeat", unit_rows(23)[0])
    assert (answer.index_id, answer.candidates[0].id) == ("repeat-2", "repeat-2-0")


def test_a_corrupt_index_is_shown_and_the_older_one_keeps_serving(world: World, wire: Wire) -> None:
    old = publish_index(world.store, "corrupt", "good-1", unit_rows(30))
    wait_until(lambda: world.matcher.indexes().get("corrupt") == "good-1", what="loading")
    bad = publish_index(world.store, "other-corrupt", "bad-1", unit_rows(31))
    key = index_prefix("corrupt", "bad-2") + "shards/0000/"
    for name in ("index.dat", "ids.dat"):
        world.store.write(key + name, world.store.read(index_prefix("other-corrupt", "bad-1") + f"shards/0000/{name}"))
    whole = bytearray(world.store.read(key + "index.dat"))
    whole[-5] ^= 1
    world.store.write(key + "index.dat", bytes(whole))
    manifest = replace(bad.manifest, label="corrupt", index_id="bad-2")
    world.store.create(index_prefix("corrupt", "bad-2") + "meta.json", manifest.to_json())
    move_head(world.store, "corrupt", "bad-2")
    wait_until(lambda: world.matcher.not_loaded("corrupt"), what="the failure")
    failure = world.matcher.not_loaded("corrupt")
    assert (failure["index_id"], failure["error_code"]) == ("bad-2", 26308)
    assert "index.dat" in failure["detail"]
    assert wire.ask("corrupt", old.rows[3], v=None)["result"][0][0] == "good-1-3"
    publish_index(world.store, "corrupt", "good-3", unit_rows(32))
    wait_until(lambda: world.matcher.indexes()["corrupt"] == "good-3", what="recovery")
    assert not world.matcher.not_loaded("corrupt")


def test_a_foreign_index_file_is_26308(world: World) -> None:
    """Checksums are right: the build itself stored something else."""
    from pipeline.artifact import File, Shard, content_digest, publish

    good = publish_index(world.store, "foreign", "foreign-1", unit_rows(33)).manifest
    data = b"not an index at all, but long enough to be read"
    files = [file for file in good.shards[0].files if not file.key.endswith("index.dat")]
    home = index_prefix("foreign", "foreign-2")
    for file in files:
        world.store.write(home + file.key, world.store.read(index_prefix("foreign", "foreign-1") + file.key))
    world.store.write(home + "shards/0000/index.dat", data)
    shards = (Shard(rows=400, files=(*files, File.of("shards/0000/index.dat", data)), memory=good.shards[0].memory),)
    digest = content_digest("exact", {}, good.point, shards)
    publish(world.store, replace(good, index_id="foreign-2", shards=shards, content_digest=digest))
    wait_until(lambda: world.matcher.not_loaded("foreign"), what="the failure")
    assert world.matcher.not_loaded("foreign")["error_code"] == 26308


def test_a_file_that_is_not_there_is_shown(world: World, tmp_path: Path) -> None:
    publish_index(world.store, "half", "half-1", unit_rows(34))
    wait_until(lambda: world.matcher.indexes().get("half") == "half-1", what="loading")
    manifest = publish_index(bucket(tmp_path), "half", "half-2", unit_rows(35)).manifest
    world.store.create(index_prefix("half", "half-2") + "meta.json", manifest.to_json())
    move_head(world.store, "half", "half-2")
    wait_until(lambda: world.matcher.not_loaded("half"), what="the failure")
    assert world.matcher.not_loaded("half")["index_id"] == "half-2"
    assert world.matcher.not_loaded("half")["error_code"] == 26308
    assert world.matcher.indexes()["half"] == "half-1"
    move_head(world.store, "half", "half-1")  # back to what it has: nothing is wrong any more
    wait_until(lambda: not world.matcher.not_loaded("half"), what="forgetting")


def test_a_newer_format_is_shown_and_the_older_index_keeps_serving(world: World, wire: Wire) -> None:
    old = publish_index(world.store, "newer", "newer-1", unit_rows(36))
    wait_until(lambda: world.matcher.indexes().get("newer") == "newer-1", what="loading")
    written = json.loads(replace(old.manifest, index_id="newer-2").to_json()) | {"format": 99, "unheard": "of"}
    world.store.create(index_prefix("newer", "newer-2") + "meta.json", json.dumps(written).encode())
    move_head(world.store, "newer", "newer-2")
    wait_until(lambda: world.matcher.not_loaded("newer"), what="the failure")
    detail = world.matcher.not_loaded("newer")["detail"]
    assert "expected format 1 or older, got 99: update this installation" in detail
    assert wire.ask("newer:newer-1", old.rows[0])["result"][0][0] == "newer-1-0"


def test_a_head_that_is_no_head_is_shown_and_forgotten_with_it(world: World) -> None:
    world.store.write(head_key("scribble"), b"{")
    wait_until(lambda: world.matcher.not_loaded("scribble"), what="the failure")
    assert "expected JSON" in world.matcher.not_loaded("scribble")["detail"]
    world.store.delete(head_key("scribble"))
    wait_until(lambda: not world.matcher.not_loaded("scribble"), what="forgetting")
    assert world.matcher.get("/healthcheck")[0] == 200


def test_an_index_that_does_not_fit_is_26307(world: World) -> None:
    publish_index(world.store, "big", "big-1", unit_rows(37), memory=1 << 60)
    wait_until(lambda: world.matcher.not_loaded("big"), what="the failure")
    failure = world.matcher.not_loaded("big")
    assert (failure["index_id"], failure["error_code"]) == ("big-1", 26307)
    assert "needs 1,152,921,504,606,846,976 bytes beside" in failure["detail"]
    assert "matcher.memory_limit_bytes" in failure["detail"]
    world.store.delete(head_key("big"))


def test_no_redis_is_said_and_waited_for(tmp_path: Path) -> None:
    from manager.embedded.processes import free_port

    bucket(tmp_path / "bucket")
    with matchers(tmp_path, f"redis://127.0.0.1:{free_port()}/0") as group:
        one = group.begin("lonely")
        wait_until(lambda: one.get("/healthcheck")[0] == 503, what="the page")
        wait_until(lambda: "redis.url" in one.child.log.read_text(), what="the warning")
        assert "still loading" in one.get("/healthcheck")[1]
        assert one.child.stop() == 0
