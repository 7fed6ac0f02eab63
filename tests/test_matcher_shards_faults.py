"""Shards that move or whose holders die under load: nothing is lost, nothing mixed."""

from __future__ import annotations

import itertools
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import numpy as np
import pytest
import redis
from crowd import LABEL, Load, OldLoad
from matchers import Matcher, Matchers, Wire, matchers
from published import DIM, bucket, publish_index, unit_rows
from sharded import Made, publish_sharded
from waiting import wait_until

from manager.embedded.valkey import Valkey
from matcher import keys
from pipeline.artifact import Store

ROWS = unit_rows(1, 400)
EACH = 4 * DIM * 100
"""Predicted bytes of a shard of 100 rows."""

TWO = {"LIM_MATCHER__MEMORY_LIMIT_BYTES": str(2 * EACH + 100)}
"""Room for two shards."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return bucket(tmp_path / "bucket")


@pytest.fixture
def group(redis_url: str, tmp_path: Path) -> Iterator[Matchers]:
    with matchers(tmp_path, redis_url) as found:
        yield found


def serves(group: Matchers, index_id: str) -> None:
    """Wait until requests go to an index."""
    with redis.Redis.from_url(group.redis_url) as line:
        wait_until(lambda: line.get(keys.serving(LABEL)) == index_id.encode(), timeout_s=20, what=f"serving {index_id}")


def shards_of(matcher: Matcher) -> list[int]:
    return sorted(one["shard"] for one in matcher.page("/indexes")["indexes"] if not one["retired"])


def check(load: Load, old: OldLoad) -> set[str]:
    """Every request of both clients is answered, by one whole index each; returns which."""
    load.verify()
    for number, answer, _ in load.answers:
        assert {str(one.id).partition("-")[0] for one in answer.candidates} == {answer.index_id}
        assert answer.candidates[0].id == f"{answer.index_id}-{number}"
        assert not answer.partial
    old.verify()
    for number, body in old.answers:
        assert {name.partition("-")[0] for name, _ in body["result"]} == {body["index_id"]}
        assert body["result"][0][0] == f"{body['index_id']}-{number}"
    return {answer.index_id for _, answer, _ in load.answers} | {body["index_id"] for _, body in old.answers}


def test_from_one_shard_to_four_and_back_under_load(store: Store, group: Matchers) -> None:
    publish_index(store, LABEL, "first", ROWS)
    for name in ("a", "b"):
        group.start(name)
    serves(group, "first")
    with Load(group.redis_url, ROWS) as load, OldLoad(group.redis_url, ROWS) as old:
        publish_sharded(store, LABEL, "four", Made(ROWS, 4))
        serves(group, "four")
        load.more(300)
        publish_index(store, LABEL, "last", ROWS)
        serves(group, "last")
        load.more(200)
        old.until(lambda: old.latest() == {"last"})
    assert check(load, old) == {"first", "four", "last"}


def test_a_replica_takes_over_what_a_killed_holder_had_read(store: Store, group: Matchers) -> None:
    """Requests that nobody repeats, each with an answer of every shard."""
    publish_sharded(store, LABEL, "four", Made(ROWS, 4))
    first, second = group.start("first"), group.start("second")
    wait_until(lambda: shards_of(first) == shards_of(second) == [0, 1, 2, 3], what="replicas")
    wire, stream, name = Wire(group.redis_url), keys.index_stream(LABEL, "four"), "lim:answer:parts"
    fields = {"response_stream": name, "response_channel": None, "ttl_ms": 60_000}
    rids = []
    for number in range(300):
        if number == 100:
            first.signal(signal.SIGSTOP)  # it surely has read some by now, or does so within its last blocked read
        if number == 200:
            first.child.kill()
        rids.append(wire.send(stream, ROWS[number], **fields))

    def parts() -> dict[str, set[int]]:
        found: dict[str, set[int]] = defaultdict(set)
        for _, entry in wire.redis.xrange(name):
            body = msgpack.unpackb(entry[b"answer"])
            assert body["result"]
            found[body["rid"]].add(body["shard"])
        return found

    every = {rid: {0, 1, 2, 3} for rid in rids}
    wait_until(lambda: parts() == every, timeout_s=15, what="every answer of every shard")
    groups = [keys.shard_group(shard) for shard in range(4)]
    wait_until(lambda: [wire.redis.xpending(stream, one)["pending"] for one in groups] == [0] * 4, what="acknowledging")
    wait_until(
        lambda: {one["name"] for group_ in groups for one in wire.redis.xinfo_consumers(stream, group_)} == {b"second"},
        what="forgetting the dead",
    )
    wait_until(lambda: wire.redis.xlen(stream) <= 1, what="trimming by all groups")
    wire.close()


def test_a_stand_by_loads_what_a_killed_holder_held(store: Store, group: Matchers) -> None:
    publish_sharded(store, LABEL, "four", Made(ROWS, 4, memory=EACH))
    first, second = group.start("first", **TWO), group.start("second", **TWO)
    serves(group, "four")
    stand_by = group.start("third", **TWO)
    assert shards_of(stand_by) == []
    lost = shards_of(first)
    with Load(group.redis_url, ROWS) as load, OldLoad(group.redis_url, ROWS) as old:
        first.child.kill()
        wait_until(lambda: shards_of(stand_by) == lost, what="loading what nobody holds")
        load.more(200)
    assert check(load, old) == {"four"}
    assert sorted([*shards_of(second), *lost]) == [0, 1, 2, 3]


@pytest.mark.drill
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(3))
def test_a_minute_of_chaos_with_shards(redis_server: Valkey, tmp_path: Path, seed: int) -> None:
    """Three matchers, a seeded hand that kills, stops and publishes indexes of one to four shards."""
    rng = np.random.default_rng(seed)
    store, number = bucket(tmp_path / "bucket"), itertools.count()
    publish_sharded(store, LABEL, "start", Made(ROWS, 2))
    with matchers(tmp_path, redis_server.url) as group:
        alive = {name: group.start(name) for name in ("a", "b", "c")}
        serves(group, "start")

        def again() -> None:
            new = group.start(f"m{next(number)}")
            alive[new.child.name] = new

        def kill(name: str) -> None:
            alive.pop(name).child.kill()
            again()

        def stop(name: str) -> None:
            assert alive.pop(name).child.stop() == 0
            again()

        def publish(_: str) -> None:
            index_id = f"n{next(number)}"
            publish_sharded(store, LABEL, index_id, Made(ROWS, int(rng.integers(1, 5))))
            serves(group, index_id)

        acts: list[Callable[[str], None]] = [kill, stop, publish, publish]
        with Load(group.redis_url, ROWS) as load, OldLoad(group.redis_url, ROWS) as old:
            for _ in range(25):
                acts[int(rng.integers(len(acts)))](list(alive)[int(rng.integers(len(alive)))])
                load.more(int(rng.integers(1, 400)), timeout_s=20)
        print(f"seed {seed}: {load.sent} and {old.sent} requests")  # noqa: T201 - a drill says what it did
        check(load, old)
