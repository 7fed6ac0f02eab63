"""Who takes which shard, what becomes of groups that nobody reads, what one matcher passes on to others."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifests import SHARD, manifest_of
from matchers import Matchers, Wire, environment, matchers
from published import bucket, publish_index, unit_rows
from redis.asyncio import Redis
from sharded import Made, publish_sharded
from waiting import eventually, wait_until

from configs.errors import ConfigError
from matcher import keys
from matcher.announced import Holders, announced
from matcher.choosing import View, listed, nobodys, replicas, reserve, wanted
from matcher.client import MatchClient
from matcher.connecting import connect
from matcher.housekeeping import Housekeeping
from matcher.relay import PLACES
from matcher.sleepers import WAITING
from pipeline.artifact import Memory

STREAM = keys.index_stream("people", "one")


def view(shards: int, mine: set[int], others: dict[int, set[str]], loading: set[int] = frozenset()) -> View:
    manifest = replace(manifest_of(), shards=(SHARD,) * shards)
    holders = Holders(512, shards, retired=False)
    for shard, names in others.items():
        holders.ready[shard] |= names
    for shard in loading:
        holders.loading[shard].add("x")
    return View(manifest, holders, frozenset(mine))


def test_a_shard_is_free_when_nobody_holds_or_loads_it() -> None:
    seen = view(6, {0}, {0: {"me"}, 1: {"a"}, 2: {"a", "b"}}, loading={3})
    assert sorted(nobodys(seen, "me")) == [4, 5]
    assert sorted(nobodys(replace(seen, refused=frozenset({5})), "me")) == [4]
    assert replicas(seen, "me")[-2:] == [1, 2]  # those with fewer holders first
    assert nobodys(replace(seen, holders=None), "me") != []
    assert wanted(seen, {0, 2, 9}) == [2]
    assert wanted(view(1, set(), {}), {7}) == [0]  # an index of one shard is always wanted


@given(st.integers(1, 12), st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=4, unique=True))
def test_whoever_starts_everything_is_tried(shards: int, names: list[str]) -> None:
    for name in names:
        assert sorted(nobodys(view(shards, set(), {}), name)) == list(range(shards))


def test_a_replica_leaves_room_for_the_next_index() -> None:
    each = replace(SHARD, memory=Memory(anonymous=10, mapped=0))
    four = replace(manifest_of(), shards=(each,) * 4)
    assert [reserve(four, matchers) for matchers in (0, 1, 2, 3, 4, 9)] == [40, 40, 20, 20, 10, 10]
    assert reserve(replace(four, shards=(each,)), 1) == 0


def test_the_setting_names_numbers() -> None:
    assert listed(" 0, 2,") == {0, 2}
    assert listed("") == set()
    with pytest.raises(ConfigError, match=r"matcher\.shards: expected numbers with commas between.* got '0;2'"):
        listed("0;2")


def test_what_retires_or_is_loaded_is_not_ready() -> None:
    def body(name: str, shard: int, **more: object) -> bytes:
        one = {"label": "l", "index_id": "i", "shard": shard, "shards": 2, "dim": 4, **more}
        return msgpack.packb({"id": name, "indexes": [one], "loading": [{**one, "shard": 1}]})

    found = announced([body("a", 0), body("b", 0, retired=True), None])["l"]["i"]
    assert (found.held, found.missing, found.whole) == ({0}, (1,), False)
    assert (dict(found.ready), dict(found.loading)) == ({0: {"a"}}, {1: {"a", "b"}})
    assert announced([body("a", 0), body("b", 1)])["l"]["i"].whole
    assert not announced([body("a", 0), body("b", 1, retired=True)])["l"]["i"].whole


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


async def test_a_group_that_nobody_holds_blocks_no_trimming_and_goes_in_the_end(line: Redis) -> None:
    orphan, alive = keys.Feed(STREAM, keys.shard_group(1)), keys.Feed(STREAM, keys.shard_group(0))
    for feed in (orphan, alive):
        await line.xgroup_create(*feed, id="0", mkstream=True)
    entries = [await line.xadd(STREAM, {"rid": str(number)}) for number in range(20)]
    await line.execute_command("XREADGROUP", "GROUP", alive.group, "me", "STREAMS", STREAM, ">")
    await line.xack(*alive, *entries[:15])
    now = int(entries[-1].partition(b"-")[0])
    house = Housekeeping(line, "lim_matcher", max_ttl_ms=1_000, kept_s=0.0)

    async def look(after_ms: int, orphans: set[keys.Feed]) -> tuple[int, dict[str, int]]:
        house.touched(STREAM, "people")
        await house.bereave(orphans)
        await house.run(now + after_ms)
        return await line.xlen(STREAM), house.backlog

    assert await look(0, set()) == (20, {"people": 20})  # held by somebody, far behind: nothing may go
    assert await look(0, {orphan}) == (20, {"people": 5})  # a stand-by may still want what can be answered
    assert await look(1_001, {orphan}) == (5, {"people": 5})
    house = Housekeeping(line, "lim_matcher", max_ttl_ms=100, kept_s=0.2)
    await look(1_001, {orphan})
    await look(1_001, set())  # it came back: its time begins anew
    began = asyncio.get_running_loop().time()

    async def destroyed() -> bool:
        await look(1_001, {orphan})
        return [one["name"] for one in await line.xinfo_groups(STREAM)] == [alive.group.encode()]

    await eventually(destroyed)
    assert asyncio.get_running_loop().time() - began > 0.2
    await look(1_001, {orphan})  # once more does no harm


@pytest.fixture
def group(redis_url: str, tmp_path: Path) -> Iterator[Matchers]:
    with matchers(tmp_path, redis_url) as found:
        yield found


@pytest.fixture
def wire(redis_url: str) -> Iterator[Wire]:
    found = Wire(redis_url)
    yield found
    found.close()


def test_what_is_passed_on_is_bounded_and_holds_up_nobody(group: Matchers, wire: Wire, tmp_path: Path) -> None:
    """The only holder of two shards hangs: a flood waits in its stream, other labels are answered at once."""
    store, rows = bucket(tmp_path / "bucket"), unit_rows(1, 200)
    publish_sharded(store, "faces", "four", Made(rows, 4))
    publish_index(store, "other", "other", rows)
    group.start("one", LIM_MATCHER__SHARDS="0,1")
    hung = group.start("two", LIM_MATCHER__SHARDS="2,3", LIM_MATCHER__LABELS="faces")
    wait_until(lambda: wire.redis.get(keys.serving("faces")), what="serving")
    assert wire.ask("faces", rows[0], v=None)["result"]
    hung.signal(signal.SIGSTOP)
    flood = 4 * PLACES
    for number in range(flood):
        wire.send("faces", rows[number % 200], v=None, ttl_ms=60_000, response_stream="lim:answer:flood")
    consumers = lambda: {one["name"]: one["pending"] for one in wire.redis.xinfo_consumers("faces", "lim_matcher")}  # noqa: E731
    wait_until(lambda: consumers().get(b"one", 0) >= PLACES, what="all places taken")
    for number in range(20):
        answer = wire.answer(wire.send("other:other", rows[number], ttl_ms=2_000))
        assert answer["result"][0][0] == f"other-{number}"
    assert PLACES <= consumers().get(b"one", 0) <= PLACES + 3 * WAITING
    hung.signal(signal.SIGCONT)
    wait_until(lambda: wire.redis.xlen("lim:answer:flood") >= flood, timeout_s=25, what="every answer")
    found = [msgpack.unpackb(fields[b"answer"]) for _, fields in wire.redis.xrange("lim:answer:flood")]
    assert not [one for one in found if "error" in one][:3]
    assert len({one["rid"] for one in found}) == flood
    wait_until(lambda: sum(consumers().values()) == 0, what="acknowledging")


def test_refusals_of_shards_reach_the_originals_client(group: Matchers, wire: Wire, tmp_path: Path) -> None:
    rows = unit_rows(1, 200)
    publish_sharded(bucket(tmp_path / "bucket"), "faces", "two", Made(rows, 2))
    group.start()
    wait_until(lambda: wire.redis.get(keys.serving("faces")), what="serving")
    wait_until(lambda: "result" in wire.ask("faces", rows[0], v=None), what="an answer")
    refused = {
        26302: {"descriptor": b"short"}, 26305: {"descriptor_version": "61"}, 26310: {"ttl_ms": "-1"},
        26311: {"limit": 0}, 26312: {"index_id": "other"}, 26314: {"min_watermark": 9},
    }  # fmt: skip
    for code, fields in refused.items():
        body = wire.ask("faces", fields.get("descriptor", rows[0]), v=None, **{
            name: value for name, value in fields.items() if name != "descriptor"
        })  # fmt: skip
        assert body["error"]["error_code"] == code, body
    assert wire.ask("faces", rows[0], v=None, threshold=3)["error"]["error_code"] == 26311
    wire.redis.xadd("faces", {"nonsense": 1})
    wait_until(lambda: wire.redis.xlen(keys.dead("faces")) == 1, what="the dead letter")
    ((_, letter),) = wire.redis.xrange(keys.dead("faces"))
    assert letter[b"group"] == b"lim_matcher"
    wire.redis.xadd("faces:two", {"nonsense": 1})
    wait_until(lambda: wire.redis.xlen(keys.dead("faces:two")) == 2, what="a dead letter of each group")
    groups = {letter[b"group"] for _, letter in wire.redis.xrange(keys.dead("faces:two"))}
    assert groups == {b"shard-0000", b"shard-0001"}


async def test_live_recall_is_of_each_shard(group: Matchers, redis_url: str, tmp_path: Path) -> None:
    rows = unit_rows(1, 800)
    publish_sharded(bucket(tmp_path / "bucket"), "faces", "four", Made(rows, 4, recipe="scan"))
    environ = {"LIM_MATCHER__LIVE_SHARE": "1", "LIM_MATCHER__LIVE_PER_MINUTE": "100000"}
    one = await asyncio.to_thread(group.start, "one", **environ)
    async with MatchClient(redis_url) as client:
        await eventually(lambda: client.index_of("faces"))
        for number in range(20):
            await client.match("faces", rows[number])
    lives = lambda: [held["live"] for held in one.page("/indexes")["indexes"]]  # noqa: E731
    await eventually(lambda: [live["compared"] for live in lives()] == [20] * 4, what="comparing in each shard")
    assert [live["recall"] for live in lives()] == [1.0] * 4
    assert one.get("/metrics")[1].count('lim_live_compared_total{index_id="four",label="faces",shard=') == 4


def test_lim_match_says_of_how_many_shards(group: Matchers, wire: Wire, tmp_path: Path) -> None:
    rows = unit_rows(1, 200)
    publish_sharded(bucket(tmp_path / "bucket"), "faces", "four", Made(rows, 4))
    group.start("one", LIM_MATCHER__SHARDS="0,1,2")
    last = group.start("two", LIM_MATCHER__SHARDS="3")
    wait_until(lambda: wire.redis.get(keys.serving("faces")), what="serving")
    np.save(tmp_path / "probes.npy", rows[:5].astype(np.float32))

    def lim(*more: str, **environ: str) -> subprocess.CompletedProcess[str]:
        words = ["match", "--label", "faces", "--probes", "probes.npy", "--json", "f"]
        environ = {**os.environ, **environment(tmp_path, group.redis_url), **environ}
        command = [sys.executable, "-m", "configs.cli", *words, *more]
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)

    assert "50 candidates of 4 shards" in lim().stderr
    last.child.kill()
    done = lim("--allow-partial", LIM_CLIENT__TIMEOUT_MS="700")
    assert "5 answers are partial: without shards [3]" in done.stderr
    figures = json.loads((tmp_path / "f").read_text())
    assert (figures["shards"], figures["partial"]) == (4, 5)
