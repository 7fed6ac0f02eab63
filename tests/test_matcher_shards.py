"""Indexes of several shards, held by one matcher or by several: the answers are those of one shard."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import redis
from matchers import Matcher, Matchers, Wire, matchers
from published import DIM, Published, bucket, publish_index, unit_rows
from sharded import Made, publish_sharded
from waiting import wait_until

from configs.settings import Client
from matcher import keys
from matcher.client_sync import SyncMatchClient
from matcher.errors import TimedOut
from pipeline.artifact import Store

ROWS = unit_rows(1, 600)
EACH = 4 * DIM * 150
"""Predicted bytes of a shard of 150 rows."""


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


def where(matcher: Matcher, label: str = "faces") -> dict[str, object]:
    """Where the shards of a label are, as a matcher sees it."""
    return next((one for one in matcher.page("/indexes").get("shards", []) if one["label"] == label), {})


def held(matcher: Matcher, index_id: str = "four") -> list[int]:
    """Shards of an index that a matcher holds and has not retired."""
    found = matcher.page("/indexes")["indexes"]
    return sorted(one["shard"] for one in found if one["index_id"] == index_id and not one["retired"])


def probes(count: int) -> np.ndarray:
    noise = np.random.default_rng(5).standard_normal((count, DIM)) * 0.08
    return ((ROWS[:count] + noise) * 2).astype(np.float32)


def serves(group: Matchers, index_id: str, label: str = "faces") -> None:
    """Wait until requests go to an index."""
    with redis.Redis.from_url(group.redis_url) as line:
        wait_until(lambda: line.get(keys.serving(label)) == index_id.encode(), what=f"serving {index_id}")


def check(group: Matchers, made: Published, *, label: str = "faces") -> None:
    """Our client and the original's get what exact search over all rows finds."""
    asked = probes(40)
    similarities, ids = made.truth(asked, 5)
    with SyncMatchClient(group.redis_url) as client:
        answers = client.match_many(label, asked, limit=5)
    for number, answer in enumerate(answers):
        assert [one.id for one in answer.candidates] == ids[number]
        assert np.allclose([one.similarity for one in answer.candidates], similarities[number], atol=1e-5)
        assert (answer.index_id, answer.partial, answer.missing) == (made.manifest.index_id, False, ())
        assert answer.shards == len(made.manifest.shards)
    line = Wire(group.redis_url)
    now = made.manifest.index_id  # a matcher's own client looks once a second
    asks = lambda: {line.ask(label, asked[0], v=None)["index_id"] for _ in range(8)}  # noqa: E731
    wait_until(lambda: asks() == {now}, what="passing on to the new one")
    for number in range(10):
        answer = line.ask(label, asked[number], v=None, limit=5)
        assert [name for name, _ in answer["result"]] == ids[number]
        assert (answer["shard"], answer["shards"], answer["index_id"]) == (0, 1, made.manifest.index_id)
    line.close()


def test_one_two_and_four_shards_answer_alike(store: Store, group: Matchers) -> None:
    one = group.start()
    for count in (1, 2, 4):
        made = publish_sharded(store, "faces", f"of-{count}", Made(ROWS, count))
        serves(group, f"of-{count}")
        check(group, made)
    wait_until(lambda: where(one)["held"] == [0, 1, 2, 3], what="all shards here")


def test_matchers_of_little_memory_share_the_shards(store: Store, group: Matchers, wire: Wire) -> None:
    """Both are started at once; neither has room for more than two."""
    made = publish_sharded(store, "faces", "four", Made(ROWS, 4, memory=EACH))
    two = [group.begin(name, LIM_MATCHER__MEMORY_LIMIT_BYTES=str(2 * EACH + 100)) for name in ("one", "two")]
    serves(group, "four")
    assert [len(held(matcher)) for matcher in two] == [2, 2]
    assert held(two[0]) + held(two[1]) != held(two[0]) * 2
    check(group, made)
    wait_until(lambda: where(two[0])["elsewhere"] == held(two[1]), what="the other's shards")
    seen = where(two[0])
    assert (seen["held"], seen["missing"], seen["serves"], seen["shards"]) == (held(two[0]), [], True, 4)
    for matcher in two:
        wait_until(lambda matcher=matcher: matcher.get("/healthcheck")[0] == 200, what="ready")
    assert not two[0].not_loaded("faces")
    text = two[0].get("/metrics")[1]
    assert 'lim_shards_held{index_id="four",label="faces"} 2.0' in text
    assert 'lim_shards_missing{index_id="four",label="faces"} 0.0' in text
    assert f'lim_index_rows{{index_id="four",label="faces",shard="{held(two[0])[0]}"}} 150.0' in text


def test_a_setting_names_the_shards(store: Store, group: Matchers) -> None:
    """What nobody wants to hold is told, and nothing goes there."""
    old = publish_index(store, "faces", "old", ROWS)
    first = group.start("first", LIM_MATCHER__SHARDS="0,2")
    second = group.start("second", LIM_MATCHER__SHARDS="2, 3")
    made = publish_sharded(store, "faces", "four", Made(ROWS, 4))
    wait_until(lambda: (held(first), held(second)) == ([0, 2], [2, 3]), what="the named shards")
    wait_until(lambda: where(first)["missing"] == [1], what="seeing what is missing")
    assert where(first)["serves"] is False
    check(group, old)
    group.start("third", LIM_MATCHER__SHARDS="1")
    serves(group, "four")
    check(group, made)


def test_no_memory_anywhere_is_told_with_both_numbers(store: Store, group: Matchers) -> None:
    publish_sharded(store, "faces", "four", Made(ROWS, 4, memory=EACH))
    one = group.start("one", LIM_MATCHER__MEMORY_LIMIT_BYTES=str(3 * EACH))
    wait_until(lambda: len(where(one)["missing"]) == 1, what="three shards")
    (missing,) = where(one)["missing"]
    why = where(one)["not_held"][str(missing)]
    assert (
        f"faces four shard {missing}: needs {EACH:,} bytes beside {3 * EACH:,} in use, allowed are {3 * EACH:,}" in why
    )
    assert '"shards_missing":[{"label":"faces"' in one.get("/healthcheck")[1]


def test_a_shard_without_a_holder_is_waited_for_or_left_out(store: Store, group: Matchers, wire: Wire) -> None:
    made = publish_sharded(store, "faces", "four", Made(ROWS, 4))
    first = group.start("first", LIM_MATCHER__SHARDS="0,1,3")
    second = group.start("second", LIM_MATCHER__SHARDS="2")
    serves(group, "four")
    second.child.kill()
    with SyncMatchClient(group.redis_url, Client(refresh_s=0.1)) as client:
        part = client.match("faces", ROWS[5], limit=4, timeout_s=0.5, allow_partial=True)
        assert (part.partial, part.missing, part.shards) == (True, (2,), 4)
        here = np.r_[0:300, 450:600]
        best = here[np.argsort(-(ROWS[here].astype(np.float32) @ ROWS[5].astype(np.float32)))][:4]
        assert [one.id for one in part.candidates] == [f"four-{number}" for number in best]
        wait_until(lambda: where(first)["missing"] == [2], what="the lapse")
        with pytest.raises(
            TimedOut, match=r"only shards \[0, 1, 3\] answered, of 4 of index four; nobody holds shards \[2\]"
        ):
            client.match("faces", ROWS[5], timeout_s=0.5)
        rid = wire.send("faces", ROWS[7], v=None, ttl_ms=60_000)
        third = group.start("third", LIM_MATCHER__SHARDS="2")
        assert wire.answer(rid)["result"][0][0] == "four-7"  # it was asked before there was anybody to answer
        assert held(third) == [2]
    check(group, made)


def test_people_of_several_shards_are_counted_once(store: Store, group: Matchers, wire: Wire) -> None:
    """Every person has rows in all shards."""
    people = [f"p{number % 40}" for number in range(len(ROWS))]
    made = publish_sharded(store, "faces", "four", Made(ROWS, 4, people=people))
    group.start()
    serves(group, "four")
    asked = probes(30)
    _, ids = made.truth(asked, len(ROWS))
    with SyncMatchClient(group.redis_url) as client:
        answers = client.match_many("faces", asked, limit=6, group_by="person")
    for number, answer in enumerate(answers):
        best: dict[str, str] = {}
        for name in ids[number]:
            best.setdefault(people[int(str(name).partition("-")[2])], str(name))
        assert [one.id for one in answer.candidates] == list(best.values())[:6]
    old = wire.ask("faces", asked[3], v=None, limit=6, group_by="person")
    assert [name for name, _ in old["result"]] == [one.id for one in answers[3].candidates]


def test_a_stopped_matcher_answers_what_it_passed_on(store: Store, group: Matchers, wire: Wire) -> None:
    publish_sharded(store, "faces", "four", Made(ROWS, 4))
    one = group.start()
    serves(group, "four")
    wire.ask("faces", ROWS[0], v=None)
    rids = [wire.send("faces", ROWS[number], v=None, response_stream="lim:answer:stopped") for number in range(200)]
    one.signal(signal.SIGTERM)
    assert one.child.process is not None
    assert one.child.process.wait(10) == 0
    assert wire.redis.xpending("faces", "lim_matcher")["pending"] == 0  # what it did not read waits for the next one
    group.start("two")
    wait_until(lambda: wire.redis.xlen("lim:answer:stopped") == len(rids), what="the rest")
