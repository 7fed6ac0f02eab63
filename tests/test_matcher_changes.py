"""Indexes that come and go under load, matchers that stop in order: nothing fails, nothing is mixed."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import redis
from crowd import LABEL, Load, Mail, World, world_of
from matchers import Matcher
from published import publish_index, unit_rows
from waiting import wait_until

from manager.embedded.valkey import Valkey
from matcher import keys
from matcher.client_sync import SyncMatchClient
from matcher.errors import NoIndex
from pipeline.artifact import head_key, move_head


def test_a_new_index_under_load_fails_no_request_and_mixes_none(crowd: World) -> None:
    one, two = crowd.group.start("first"), crowd.group.start("second")
    with Load(crowd.url, unit_rows(7, 50)) as load:
        for number in range(4):
            publish_index(crowd.store, LABEL, f"new{number}", unit_rows(100 + number, 300))
            for matcher in (one, two):
                wait_until(lambda m=matcher, n=number: m.indexes().get(LABEL) == f"new{n}", what="the switch")
            load.more(100)
        wait_until(lambda: load.answers[-1][1].index_id == "new3", what="the newest answers")
    load.verify()
    assert {answer.index_id for _, answer, _ in load.answers} >= {"old", "new3"}
    for _, answer, _ in load.answers:
        assert len(answer.candidates) == 10
        assert {str(one.id).partition("-")[0] for one in answer.candidates} == {answer.index_id}


def test_rolled_back_the_older_index_serves_again(crowd: World) -> None:
    one = crowd.group.start()
    publish_index(crowd.store, LABEL, "new", unit_rows(2, 300))
    wait_until(lambda: one.indexes()[LABEL] == "new", what="the switch")
    with Load(crowd.url, crowd.index.rows) as load:
        move_head(crowd.store, LABEL, "old")
        wait_until(lambda: one.indexes()[LABEL] == "old", what="the switch back")
        wait_until(lambda: load.answers[-1][1].index_id == "old", what="answers of the older index")
    load.verify()
    held = lambda: {one_["index_id"] for one_ in one.page("/indexes")["indexes"]}  # noqa: E731
    wait_until(lambda: held() == {"old"}, timeout_s=15, what="freeing the other")
    move_head(crowd.store, LABEL, "new")  # no longer in memory: loaded again
    wait_until(lambda: one.indexes()[LABEL] == "new", what="loading it again")
    with SyncMatchClient(crowd.url) as client:
        assert client.match(LABEL, unit_rows(2, 300)[5]).candidates[0].id == "new-5"


def test_a_removed_label_is_nobodys_under_load(crowd: World, mail: Mail) -> None:
    one = crowd.group.start()
    publish_index(crowd.store, "stays", "stays-1", unit_rows(9))
    wait_until(lambda: "stays" in one.indexes(), what="loading")
    with Load(crowd.url, crowd.index.rows) as load:
        publish_index(crowd.store, LABEL, "second", unit_rows(5, 300))
        wait_until(lambda: one.indexes()[LABEL] == "second", what="the switch")
        crowd.store.delete(head_key(LABEL))
        wait_until(lambda: load.errors, what="the refusal")
        load.more(100)
    assert all(isinstance(error, NoIndex) for error in load.errors)
    assert len(load.answers) + len(load.errors) == load.sent
    assert list(one.indexes()) == ["stays"]
    wait_until(lambda: one.page("/indexes")["indexes"][0]["label"] == "stays", what="dropping it")
    for stream in (LABEL, f"{LABEL}:second", f"{LABEL}:old"):
        error = mail.wire.ask(stream, crowd.index.rows[0], v=1 if ":" in stream else None)["error"]
        assert (error["error_code"], error["desc"]) == (26304, "no index for label")
    with SyncMatchClient(crowd.url) as client:
        assert client.match("stays", unit_rows(9)[4]).candidates[0].id == "stays-1-4"
    move_head(crowd.store, LABEL, "old")
    wait_until(lambda: one.indexes().get(LABEL) == "old", what="its return")
    mail.post(5)
    mail.verify()


def test_labels_that_vanish_while_they_are_loaded_stop_nothing(crowd: World) -> None:
    one = crowd.group.start("one", LIM_MATCHER__POLL_S="0.01")
    for number in range(30):
        publish_index(crowd.store, f"brief-{number}", f"brief-{number}", unit_rows(number, 50))
        if number % 2:  # half of them when they are held, half at any point before
            wait_until(lambda name=f"brief-{number}": name in one.indexes(), what="loading")
        crowd.store.delete(head_key(f"brief-{number}"))
    publish_index(crowd.store, "stays", "stays", unit_rows(9))
    wait_until(lambda: set(one.indexes()) == {LABEL, "stays"}, what="loading what stays, dropping the rest")
    with SyncMatchClient(crowd.url) as client:
        assert client.match("stays", unit_rows(9)[4]).candidates[0].id == "stays-4"
    assert not one.page("/indexes")["not_loaded"]


def test_sigterm_under_load_answers_what_was_read(crowd: World, mail: Mail) -> None:
    first, second = crowd.group.start("first"), crowd.group.start("second")
    with Load(crowd.url, crowd.index.rows) as load:
        mail.post(200)
        began = time.monotonic()
        first.signal(signal.SIGTERM)
        assert first.child.process is not None
        assert first.child.process.wait(10) == 0
        assert time.monotonic() - began < 10
        groups = mail.wire.redis.xinfo_consumers(mail.stream, keys.shard_group(0))
        assert [one["pending"] for one in groups if one["name"] == b"first"] in ([0], [])
        assert not mail.wire.redis.exists(keys.announcement("first"))
        load.more(200)
    load.verify()
    mail.verify()
    second.signal(signal.SIGTERM)
    assert second.child.process is not None
    assert second.child.process.wait(10) == 0
    assert mail.pending() == 0


def test_a_single_matcher_that_stops_leaves_the_rest_in_the_stream(crowd: World, mail: Mail) -> None:
    one = crowd.group.start("one")
    mail.post(300)
    one.signal(signal.SIGTERM)
    mail.post(100)
    assert one.child.process is not None
    assert one.child.process.wait(10) == 0
    assert mail.pending() == 0
    mail.post(10)
    crowd.group.start("two")
    mail.verify()


def test_a_second_signal_ends_it_at_once(crowd: World) -> None:
    one = crowd.group.start("one")
    one.signal(signal.SIGSTOP)
    one.signal(signal.SIGTERM)
    one.signal(signal.SIGINT)
    one.signal(signal.SIGCONT)
    assert one.child.process is not None
    assert one.child.process.wait(5) in (0, 128 + signal.SIGTERM, 128 + signal.SIGINT)


def test_answered_requests_are_trimmed_and_the_backlog_is_told(crowd: World, mail: Mail) -> None:
    one = crowd.group.start("one")
    one.signal(signal.SIGSTOP)
    mail.post(500)
    one.signal(signal.SIGCONT)
    mail.verify()
    wait_until(lambda: mail.wire.redis.xlen(mail.stream) <= 1, what="trimming")
    wait_until(lambda: not mail.wire.redis.exists(keys.backlog(LABEL)), what="the end of the backlog")


def test_what_waited_too_long_for_a_matcher_expires(crowd: World, mail: Mail) -> None:
    crowd.group.start("one").child.stop()
    for _ in range(3):
        mail.post(1, ttl_ms=1)
    mail.post(1)
    crowd.group.start("two")
    wait_until(lambda: len(mail.answered()) == 4, what="every answer")
    codes = [mail.answered()[rid].get("error", {}).get("error_code") for rid in mail.rids]
    assert codes == [26310] * 3 + [None]


@pytest.mark.drill
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
def test_a_minute_of_chaos(redis_server: Valkey, tmp_path: Path, seed: int) -> None:
    """Three matchers and a seeded hand that kills, stops, restarts, publishes and rolls back."""
    rng = np.random.default_rng(seed)
    with world_of(tmp_path / "crowd", redis_server.url) as crowd:
        alive = {name: crowd.group.start(name) for name in ("a", "b", "c")}
        number = itertools.count()

        def again(name: str) -> Matcher:
            return crowd.group.start(f"{name.partition('.')[0]}.{next(number)}")

        def kill(name: str) -> None:
            alive.pop(name).child.kill()
            new = again(name)
            alive[new.child.name] = new

        def stop(name: str) -> None:
            assert alive.pop(name).child.stop() == 0
            new = again(name)
            alive[new.child.name] = new

        def freeze(name: str) -> None:
            alive[name].signal(signal.SIGSTOP)
            with redis.Redis.from_url(crowd.url) as client:
                wait_until(lambda: not client.exists(keys.announcement(name)), what="the lapse")
            alive[name].signal(signal.SIGCONT)

        def publish(_: str) -> None:
            publish_index(crowd.store, LABEL, f"n{next(number)}", unit_rows(int(rng.integers(1 << 30)), 300))

        acts: list[Callable[[str], None]] = [kill, stop, freeze, publish]
        with Load(crowd.url, unit_rows(7, 50)) as load:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                acts[int(rng.integers(len(acts)))](list(alive)[int(rng.integers(len(alive)))])
                load.more(int(rng.integers(1, 200)))
        load.verify()
        for _, answer, _ in load.answers:
            assert {str(one.id).partition("-")[0] for one in answer.candidates} == {answer.index_id}
