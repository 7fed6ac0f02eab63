"""Many labels, slow stores, stubborn clients: what a matcher must not let spoil the others' answers."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis
from matchers import Matchers, Wire, matchers
from published import Published, bucket, publish_index, unit_rows
from redis.asyncio import Redis
from waiting import wait_until

from configs.settings import Redis as RedisSettings
from configs.settings import Settings, Storage
from matcher import keys
from matcher.answering import Answerer
from matcher.connecting import connect
from matcher.consumer import Consumer
from matcher.doubt import Doubt
from matcher.housekeeping import BITE, Housekeeping
from matcher.messages import Request
from matcher.service import COST_S, LEAST, TURN_S, Service
from matcher.sleepers import COUNT, PER_READ
from matcher.takeover import TakeOver
from pipeline.artifact import Store, index_prefix

GROUP = keys.shard_group(0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return bucket(tmp_path / "bucket")


@pytest.fixture
def group(redis_url: str, tmp_path: Path) -> Iterator[Matchers]:
    with matchers(tmp_path, redis_url) as found:
        yield found


@pytest.fixture
def wire(redis_url: str) -> Iterator[Wire]:
    line = Wire(redis_url)
    yield line
    line.close()


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


def labels_in(store: Store, count: int) -> list[Published]:
    return [
        publish_index(store, f"label-{number}", f"index-{number}", unit_rows(number, 20)) for number in range(count)
    ]


def stream_of(one: Published) -> str:
    return keys.index_stream(one.manifest.label, one.manifest.index_id)


def test_no_stream_is_unwatched_after_it_was_read(store: Store, group: Matchers, wire: Wire) -> None:
    """Incident: with several labels a request that came just after another of its label waited for `block_ms`."""
    all_of_them = labels_in(store, PER_READ + 6)  # more than one blocking read covers
    group.start(LIM_MATCHER__BLOCK_MS="400")
    for one in (all_of_them[0], all_of_them[-1]):
        took = []
        for number in range(12):
            began = time.monotonic()
            assert wire.ask(stream_of(one), one.rows[number])["result"][0][0] == one.ids[number]
            took.append(time.monotonic() - began)
        assert statistics.median(took) < 0.2


def test_a_burst_and_what_comes_after_it_are_read(store: Store, group: Matchers, wire: Wire) -> None:
    """A stream becomes busy and quiet again many times; nothing waits in between."""
    ours, other = labels_in(store, 2)
    burst = COUNT * 20
    group.start(LIM_MATCHER__BLOCK_MS="400")
    for _ in range(5):
        for _ in range(burst):
            wire.send(stream_of(ours), ours.rows[0], response_stream="lim:answer:burst")
        wait_until(lambda: wire.redis.xlen("lim:answer:burst") == burst, what="every answer")
        began = time.monotonic()
        assert wire.ask(stream_of(ours), ours.rows[1])["result"]
        assert wire.ask(stream_of(other), other.rows[1])["result"]
        assert time.monotonic() - began < 0.4
        wire.redis.delete("lim:answer:burst")


def hang(folder: Path, one: Published) -> Path:
    """Make reading an index's file last until somebody writes into it."""
    file = folder / "bucket" / index_prefix(one.manifest.label, one.manifest.index_id) / "shards" / "0000" / "index.dat"
    file.unlink()
    os.mkfifo(file)
    return file


def test_what_is_loaded_answers_while_more_is_loaded(store: Store, group: Matchers, wire: Wire, tmp_path: Path) -> None:
    first = publish_index(store, "a", "a-1", unit_rows(1, 20))
    hang(tmp_path, publish_index(store, "b", "b-1", unit_rows(2, 20)))
    one = group.begin("one")
    wait_until(lambda: one.indexes() == {"a": "a-1"}, what="the first index")
    assert wire.ask(stream_of(first), first.rows[3])["result"][0][0] == "a-1-3"
    lapse = time.monotonic() + 2.5
    wait_until(lambda: time.monotonic() > lapse, what="more time than an announcement lives")
    assert wire.redis.exists(keys.announcement("one"))
    assert wire.ask(stream_of(first), first.rows[4])["result"][0][0] == "a-1-4"
    assert one.get("/healthcheck")[0] == 503
    assert "still loading" in one.get("/healthcheck")[1]


def test_a_load_that_hangs_does_not_hold_up_the_stop(store: Store, group: Matchers, wire: Wire, tmp_path: Path) -> None:
    publish_index(store, "a", "a-1", unit_rows(1, 20))
    one = group.start("one")
    hang(tmp_path, publish_index(store, "b", "b-1", unit_rows(2, 20)))
    looked = time.monotonic() + 1.0
    wait_until(lambda: time.monotonic() > looked, what="several looks at the bucket")
    one.signal(signal.SIGTERM)
    assert one.child.process is not None
    assert one.child.process.wait(5) == 0
    assert not wire.redis.exists(keys.announcement("one"))


def test_what_nobody_holds_vanishes_by_itself(store: Store, group: Matchers, wire: Wire) -> None:
    one = publish_index(store, "a", "a-1", unit_rows(1, 20))
    group.start("one")
    wire.ask(stream_of(one), one.rows[0])
    names = [stream_of(one), "a", keys.serving("a")]
    wait_until(lambda: all(wire.redis.ttl(name) > 0 for name in names), what="a life for each key")
    assert [name for name in wire.redis.keys("*") if wire.redis.ttl(name) < 0] == [keys.MATCHERS.encode()]


def test_a_client_that_never_looks_cannot_keep_an_old_index(store: Store, group: Matchers, wire: Wire) -> None:
    old = publish_index(store, "a", "a-1", unit_rows(1, 20))
    one = group.start("one", LIM_MATCHER__MAX_TTL_MS="1000", LIM_MATCHER__DEFAULT_TTL_MS="1000")
    publish_index(store, "a", "a-2", unit_rows(2, 20))

    def stale() -> bool:
        for _ in range(30):
            wire.send(stream_of(old), old.rows[0], response_stream="lim:answer:stubborn")
        return wire.ask(stream_of(old), old.rows[0]).get("error", {}).get("error_code") == 26312

    wait_until(stale, timeout_s=20, what="being told that it is stale")
    wait_until(lambda: [held["index_id"] for held in one.page("/indexes")["indexes"]] == ["a-2"], what="freeing it")


@pytest.mark.parametrize(
    ("fields", "code", "why"),
    [
        ({"index_id": "a-0"}, 26312, "index_id: b'a-0' is asked for, a-1 answers here"),
        ({"index_id": "a-0", "v": None}, 26312, "index_id: b'a-0' is asked for, a-1 answers here"),
        ({"ttl_ms": "soon"}, 26311, "ttl_ms: expected an integer, got b'soon'"),
    ],
)
def test_what_does_not_fit_the_index_is_refused(
    store: Store, group: Matchers, wire: Wire, fields: dict[str, str | None], code: int, why: str
) -> None:
    one = publish_index(store, "a", "a-1", unit_rows(1, 20))
    group.start("one")
    stream = stream_of(one) if "v" not in fields else "a"
    error = wire.ask(stream, one.rows[0], **fields)["error"]
    assert (error["error_code"], error["detail"]) == (code, why)
    assert wire.ask(stream, one.rows[0], **(fields | {"index_id": "a-1", "ttl_ms": 5000}))["result"]


async def consumer_on(line: Redis, stream: str) -> Consumer:
    """A consumer that knows a stream and does not read it."""
    consumer = Consumer(line, "me", 50, Doubt())
    await line.xgroup_create(stream, GROUP, id="0", mkstream=True)
    consumer.feeds[keys.Feed(stream, GROUP)] = None
    return consumer


async def given_to(line: Redis, name: str, stream: str, times: list[int]) -> list[bytes]:
    """Requests that were delivered to a consumer so many times each."""
    fields = {"rid": "r", "response_channel": "nobody"}
    entries = [await line.xadd(stream, {**fields, "rid": f"r{number}"}) for number in range(len(times))]
    await line.execute_command("XREADGROUP", "GROUP", GROUP, name, "STREAMS", stream, ">")
    pipe = line.pipeline()
    for entry, count in zip(entries, times, strict=True):
        pipe.execute_command("XCLAIM", stream, GROUP, name, 0, entry, "IDLE", 60_000, "RETRYCOUNT", count)
    await pipe.execute()
    return entries


def answering(line: Redis) -> Answerer:
    return Answerer(line, lambda: True)


async def test_requests_that_ended_several_matchers_are_tried_alone(line: Redis) -> None:
    """Else the one that kills takes with it all that happened to be in its batch."""
    consumer = await consumer_on(line, "s")
    entries = await given_to(line, "dead", "s", [1, 3, 1, 2, 5, 1])
    takeover = TakeOver(line, (consumer,), answering(line), 5)
    gone = {"dead"}
    batches: list[list[Request]] = [batch async for batch in takeover.of(gone)]
    alone = [[one.entry for one in batch] for batch in batches]
    assert alone == [[entries[0], entries[2], entries[5]], [entries[3]], [entries[1]]]  # the mildest suspect first
    assert [fields[b"rid"] for _, fields in await line.xrange(keys.dead("s"))] == [b"r4"]
    assert gone == set()
    assert [one["name"] for one in await line.xinfo_consumers("s", GROUP)] == [b"me"]


async def test_what_is_in_hand_is_not_taken_for_lost(line: Redis) -> None:
    consumer = await consumer_on(line, "s")
    entries = await given_to(line, "me", "s", [1, 1, 1])
    takeover = TakeOver(line, (consumer,), answering(line), 5)
    in_hand = {(keys.Feed("s", GROUP), entries[1])}
    batches = [batch async for batch in takeover.own(lambda: in_hand)]
    assert [[one.entry for one in batch] for batch in batches] == [[entries[0], entries[2]]]
    assert [batch async for batch in takeover.own(lambda: in_hand)] == []  # what was claimed is no longer idle


async def test_trimming_spares_what_is_unanswered_and_no_strangers(line: Redis) -> None:
    await consumer_on(line, "s")
    entries = await given_to(line, "me", "s", [1] * 10)
    await line.xgroup_create("s", "onlooker", id="0")
    await line.xack("s", GROUP, *entries[:4], entries[6])
    house = Housekeeping(line, "lim_matcher", max_ttl_ms=60_000)
    now = int(entries[-1].partition(b"-")[0])
    house.touched("s", "label")
    await house.run(now)
    assert await line.xlen("s") == 10  # the onlooker may still want what can be answered
    assert house.backlog == {"label": 5}
    await house.run(now + 60_001)
    assert [entry for entry, _ in await line.xrange("s")] == entries[4:]
    await line.xack("s", GROUP, *entries)
    await house.run(now + 60_001)
    assert [entry for entry, _ in await line.xrange("s")] == entries[-1:]
    assert house.backlog == {}
    assert not await line.exists(keys.backlog("label"))


async def test_much_is_trimmed_in_bites(line: Redis) -> None:
    """Incident: after a flood one XTRIM of 20,000 entries kept the server from everything else for 350 ms."""
    await consumer_on(line, "s")
    entries = await given_to(line, "me", "s", [1] * 1500)
    await line.xack("s", GROUP, *entries)
    house = Housekeeping(line, "lim_matcher", max_ttl_ms=60_000)
    house.touched("s", "label")
    before = (await line.info("commandstats")).get("cmdstat_xtrim", {"calls": 0})["calls"]
    await house.run(int(entries[-1].partition(b"-")[0]))
    assert [entry for entry, _ in await line.xrange("s")] == entries[-1:]
    assert (await line.info("commandstats"))["cmdstat_xtrim"]["calls"] - before >= 1500 // BITE


async def test_a_turn_is_short_when_searches_are_slow(redis_url: str, tmp_path: Path) -> None:
    bucket(tmp_path / "bucket")
    settings = Settings(redis=RedisSettings(url=redis_url), storage=Storage(bucket=str(tmp_path / "bucket")))
    service = Service(settings, {"XDG_CACHE_HOME": str(tmp_path)})
    try:
        assert service.budget() == settings.matcher.batch  # nobody else to be fair to
        for label in ("a", "b"):
            publish_index(bucket(tmp_path / "bucket"), label, f"{label}-1", unit_rows(1, 20))
        await service.announcer.renew()
        await service.watch.look()
        assert service.budget() == int(TURN_S / COST_S)
        held = service.residency.held["a", "a-1", 0]
        service.consumer.hot[held.feed] = None
        held.cost_s = 0.0
        for seconds in (0.001, 0.003, 0.002):
            held.search_took(seconds)
        assert 0.001 < held.cost_s < 0.002
        assert service.budget() == LEAST
    finally:
        await service.consumer.close()
        service.searcher.close()
        await service.redis.aclose()


def test_a_thousand_labels_cost_a_few_connections(store: Store, group: Matchers, redis_url: str) -> None:
    labels_in(store, 3 * PER_READ)
    group.start("one")
    with redis.Redis.from_url(redis_url) as client:
        assert len(client.client_list()) < 30
