"""Matchers that die, hang, stop and are moved on under load: nothing is lost, nothing is mixed."""

from __future__ import annotations

import asyncio
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgpack
import numpy as np
import pytest
import redis
from matchers import Matcher, Matchers, Wire, matchers
from published import Published, bucket, publish_index, unit_rows
from waiting import wait_until

from configs.settings import Client
from manager.embedded.valkey import Valkey
from matcher import keys
from matcher.client import MatchClient
from matcher.client_sync import SyncMatchClient
from matcher.errors import MatchError, NoIndex
from matcher.merge import Answer
from pipeline.artifact import Store, head_key, move_head

LABEL = "crowd"
DEADLINE_S = 5.0


@dataclass
class World:
    """A bucket with one index, and room for matchers."""

    url: str
    store: Store
    group: Matchers
    index: Published


@contextmanager
def world_of(folder: Path, url: str) -> Iterator[World]:
    store = bucket(folder / "bucket")
    index = publish_index(store, LABEL, "old", unit_rows(1, 300))
    with matchers(folder, url) as group:
        yield World(url, store, group, index)


@pytest.fixture
def world(redis_url: str, tmp_path: Path) -> Iterator[World]:
    with world_of(tmp_path, redis_url) as found:
        yield found


@dataclass
class Load:
    """A client that keeps requests in flight from a thread of its own."""

    url: str
    probes: np.ndarray
    rate: float = 300.0
    answers: list[tuple[int, Answer, float]] = field(default_factory=list)
    """Number of the probe, its answer, seconds."""
    errors: list[MatchError] = field(default_factory=list)
    sent: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Load:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        self.more(20)
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._thread.join()

    def more(self, count: int, timeout_s: float = 10.0) -> None:
        """Wait until as many more requests have ended."""
        until = len(self.answers) + len(self.errors) + count
        wait_until(lambda: len(self.answers) + len(self.errors) >= until, timeout_s=timeout_s, what=f"{count} answers")

    async def _run(self) -> None:
        async with MatchClient(self.url, Client(timeout_ms=int(DEADLINE_S * 1000))) as client:
            tasks = set()
            began = time.monotonic()
            while not self.over.is_set():
                while self.sent < (time.monotonic() - began) * self.rate:
                    tasks.add(asyncio.create_task(self._ask(client, self.sent % len(self.probes))))
                    self.sent += 1
                await asyncio.sleep(0.005)
            await asyncio.gather(*tasks)

    async def _ask(self, client: MatchClient, number: int) -> None:
        began = time.monotonic()
        try:
            answer = await client.match(LABEL, self.probes[number])
            self.answers.append((number, answer, time.monotonic() - began))
        except MatchError as error:
            self.errors.append(error)

    def check(self) -> None:
        """Everything that was sent was answered in time, and answered right."""
        assert not self.errors, self.errors[:3]
        assert len(self.answers) == self.sent
        assert max(seconds for _, _, seconds in self.answers) < DEADLINE_S


NAMES = itertools.count()


class Mail:
    """Requests that nobody repeats: written once, their answers kept in a stream."""

    def __init__(self, url: str, index: Published) -> None:
        self.wire = Wire(url)
        self.index = index
        self.stream = keys.index_stream(LABEL, index.manifest.index_id)
        self.name = f"lim:answer:mail-{next(NAMES)}"
        self.rids: list[str] = []

    def post(self, count: int, **fields: str | int | None) -> None:
        """Write requests."""
        for _ in range(count):
            row = self.index.rows[len(self.rids) % len(self.index.rows)]
            more = {"response_stream": self.name, "response_channel": None, "ttl_ms": 60_000} | fields
            self.rids.append(self.wire.send(self.stream, row, **more))

    def answered(self) -> dict[str, dict]:
        """Answers by rid."""
        found = [msgpack.unpackb(fields[b"answer"]) for _, fields in self.wire.redis.xrange(self.name)]
        return {one["rid"]: one for one in found}

    def pending(self) -> int:
        """Requests that were delivered and not acknowledged."""
        return int(self.wire.redis.xpending(self.stream, keys.shard_group(0))["pending"])

    def wait(self, timeout_s: float = 15.0) -> None:
        """Every request is answered, with the right row, and nothing stays behind."""
        wait_until(lambda: len(self.answered()) == len(self.rids), timeout_s=timeout_s, what="every answer")
        found = self.answered()
        for number, rid in enumerate(self.rids):
            assert found[rid]["result"][0][0] == self.index.ids[number % len(self.index.ids)]
        wait_until(lambda: self.pending() == 0, what="every acknowledgement")

    def close(self) -> None:
        self.wire.close()


@pytest.fixture
def mail(world: World) -> Iterator[Mail]:
    found = Mail(world.url, world.index)
    yield found
    found.close()


def served_by(mail: Mail) -> set[str]:
    """Consumers that the group knows."""
    return {one["name"].decode() for one in mail.wire.redis.xinfo_consumers(mail.stream, keys.shard_group(0))}


def test_killing_one_of_two_loses_nothing(world: World, mail: Mail) -> None:
    first, _second = world.group.start("first"), world.group.start("second")
    with Load(world.url, world.index.rows) as load:
        mail.post(100)
        first.child.kill()
        mail.post(100)
        load.more(600)
    load.check()
    mail.wait()
    assert all(answer.candidates[0].id == f"old-{number}" for number, answer, _ in load.answers)
    wait_until(lambda: served_by(mail) == {"second"}, what="forgetting the dead consumer")


def test_what_a_killed_matcher_held_is_taken_over(world: World, mail: Mail) -> None:
    """The dead one is stopped first, so that it surely has read and not answered."""
    first, second = world.group.start("first"), world.group.start("second")
    second.signal(signal.SIGSTOP)
    mail.post(1)
    mail.wait()
    first.signal(signal.SIGSTOP)  # a blocked read of it still takes what comes within its 50 ms
    mail.post(1)
    second.signal(signal.SIGCONT)
    mail.post(50)
    first.child.kill()
    mail.wait()
    assert world.group.running[1].get("/healthcheck")[0] == 200


def test_killed_and_started_again_under_the_same_name_it_finds_what_it_held(world: World, mail: Mail) -> None:
    """Nobody else takes over: its announcement may not even lapse in between."""
    first = world.group.start("same")
    claim_for(mail, "same", 10)
    first.child.kill()
    world.group.start("same")
    mail.wait()


def claim_for(mail: Mail, name: str, count: int) -> None:
    """Requests as a matcher leaves them that died between reading and answering: delivered, not acknowledged."""
    group = keys.shard_group(0)
    pipe = mail.wire.redis.pipeline(transaction=True)  # nobody reads in between
    row = mail.index.rows
    for _ in range(count):
        rid = f"claimed-{len(mail.rids)}"
        fields = {
            "rid": rid, "v": 1, "descriptor": row[len(mail.rids) % len(row)].astype("<f4").tobytes(), "limit": 3,
            "response_stream": mail.name, "ttl_ms": 60_000,
        }  # fmt: skip
        mail.rids.append(rid)
        pipe.xadd(mail.stream, fields)
    pipe.xreadgroup(group, name, {mail.stream: ">"}, count=count)
    pipe.execute()


def test_a_reply_lost_on_its_way_is_found_again(world: World, mail: Mail) -> None:
    """A single matcher that never died: the server delivered to it, the connection broke before it heard."""
    world.group.start("only")
    claim_for(mail, "only", 25)
    mail.wire.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    mail.post(5)
    mail.wait()


def test_a_dead_matchers_requests_are_taken_by_the_next_that_starts(world: World, mail: Mail) -> None:
    first = world.group.start("first")
    claim_for(mail, "first", 10)
    first.child.kill()
    wait_until(lambda: not mail.wire.redis.exists(keys.announcement("first")), what="the lapse")
    world.group.start("second")
    mail.wait()
    wait_until(lambda: served_by(mail) == {"second"}, what="forgetting the dead consumer")


def test_a_lapse_noticed_while_an_index_is_loaded_is_not_forgotten(world: World, mail: Mail) -> None:
    first, second = world.group.start("first"), world.group.start("second", LIM_MATCHER__POLL_S="0.02")
    claim_for(mail, "first", 10)
    first.child.kill()
    number = 0
    while mail.wire.redis.exists(keys.announcement("first")) or number < 5:
        # each switch renews the announcement, and so may be the one that sees the lapse
        number += 1
        publish_index(world.store, "busy", f"busy-{number}", unit_rows(number, 50))
        wait_until(lambda name=f"busy-{number}": second.indexes().get("busy") == name, what="the switch")
    mail.wait()


def test_a_new_index_under_load_fails_no_request_and_mixes_none(world: World) -> None:
    one, two = world.group.start("first"), world.group.start("second")
    with Load(world.url, unit_rows(7, 50)) as load:
        for number in range(4):
            publish_index(world.store, LABEL, f"new{number}", unit_rows(100 + number, 300))
            for matcher in (one, two):
                wait_until(lambda m=matcher, n=number: m.indexes().get(LABEL) == f"new{n}", what="the switch")
            load.more(100)
        wait_until(lambda: load.answers[-1][1].index_id == "new3", what="the newest answers")
    load.check()
    assert {answer.index_id for _, answer, _ in load.answers} >= {"old", "new3"}
    for _, answer, _ in load.answers:
        assert len(answer.candidates) == 10
        assert {str(one.id).partition("-")[0] for one in answer.candidates} == {answer.index_id}


def test_rolled_back_the_older_index_serves_again(world: World) -> None:
    one = world.group.start()
    publish_index(world.store, LABEL, "new", unit_rows(2, 300))
    wait_until(lambda: one.indexes()[LABEL] == "new", what="the switch")
    with Load(world.url, world.index.rows) as load:
        move_head(world.store, LABEL, "old")
        wait_until(lambda: one.indexes()[LABEL] == "old", what="the switch back")
        wait_until(lambda: load.answers[-1][1].index_id == "old", what="answers of the older index")
    load.check()
    held = lambda: {one_["index_id"] for one_ in one.page("/indexes")["indexes"]}  # noqa: E731
    wait_until(lambda: held() == {"old"}, timeout_s=15, what="freeing the other")
    move_head(world.store, LABEL, "new")  # no longer in memory: loaded again
    wait_until(lambda: one.indexes()[LABEL] == "new", what="loading it again")
    with SyncMatchClient(world.url) as client:
        assert client.match(LABEL, unit_rows(2, 300)[5]).candidates[0].id == "new-5"


def test_sigterm_under_load_answers_what_was_read(world: World, mail: Mail) -> None:
    first, second = world.group.start("first"), world.group.start("second")
    with Load(world.url, world.index.rows) as load:
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
    load.check()
    mail.wait()
    second.signal(signal.SIGTERM)
    assert second.child.process is not None
    assert second.child.process.wait(10) == 0
    assert mail.pending() == 0


def test_a_single_matcher_that_stops_leaves_the_rest_in_the_stream(world: World, mail: Mail) -> None:
    one = world.group.start("one")
    mail.post(300)
    one.signal(signal.SIGTERM)
    mail.post(100)
    assert one.child.process is not None
    assert one.child.process.wait(10) == 0
    assert mail.pending() == 0
    mail.post(10)
    world.group.start("two")
    mail.wait()


def test_a_second_signal_ends_it_at_once(world: World) -> None:
    one = world.group.start("one")
    one.signal(signal.SIGSTOP)
    one.signal(signal.SIGTERM)
    one.signal(signal.SIGINT)
    one.signal(signal.SIGCONT)
    assert one.child.process is not None
    assert one.child.process.wait(5) in (0, 128 + signal.SIGTERM, 128 + signal.SIGINT)


def test_killing_redis_loses_nothing(redis_server: Valkey, tmp_path: Path) -> None:
    """Its append-only file holds whatever it has said yes to; matchers and clients come back by themselves."""
    with world_of(tmp_path / "world", redis_server.url) as world:
        one = world.group.start("one")
        with Load(world.url, world.index.rows) as load:
            before = Mail(world.url, world.index)
            before.post(300)
            before.close()
            redis_server.kill()
            redis_server.restart()
            after = Mail(world.url, world.index)
            after.rids, after.name = before.rids, before.name
            after.post(20)
            after.wait()
            after.close()
            load.more(100)
        load.check()
        wait_until(lambda: one.get("/healthcheck")[0] == 200, what="good health")


def test_an_emptied_redis_is_filled_again(world: World, mail: Mail) -> None:
    one = world.group.start("one")
    mail.wire.redis.flushall()
    wait_until(lambda: mail.wire.redis.exists(keys.announcement("one")), what="the announcement")
    wait_until(lambda: mail.wire.redis.exists(mail.stream), what="the stream")
    mail.post(20)
    mail.wait()
    with SyncMatchClient(world.url) as client:
        assert client.match(LABEL, world.index.rows[0]).candidates[0].id == "old-0"
    assert one.get("/healthcheck")[0] == 200


def test_a_removed_label_is_nobodys_under_load(world: World, mail: Mail) -> None:
    one = world.group.start()
    publish_index(world.store, "stays", "stays-1", unit_rows(9))
    wait_until(lambda: "stays" in one.indexes(), what="loading")
    with Load(world.url, world.index.rows) as load:
        publish_index(world.store, LABEL, "second", unit_rows(5, 300))
        wait_until(lambda: one.indexes()[LABEL] == "second", what="the switch")
        world.store.delete(head_key(LABEL))
        wait_until(lambda: load.errors, what="the refusal")
        load.more(100)
    assert all(isinstance(error, NoIndex) for error in load.errors)
    assert len(load.answers) + len(load.errors) == load.sent
    assert list(one.indexes()) == ["stays"]
    wait_until(lambda: one.page("/indexes")["indexes"][0]["label"] == "stays", what="dropping it")
    for stream in (LABEL, f"{LABEL}:second", f"{LABEL}:old"):
        error = mail.wire.ask(stream, world.index.rows[0], v=1 if ":" in stream else None)["error"]
        assert (error["error_code"], error["desc"]) == (26304, "no index for label")
    with SyncMatchClient(world.url) as client:
        assert client.match("stays", unit_rows(9)[4]).candidates[0].id == "stays-1-4"
    move_head(world.store, LABEL, "old")
    wait_until(lambda: one.indexes().get(LABEL) == "old", what="its return")
    mail.post(5)
    mail.wait()


def test_labels_that_vanish_while_they_are_loaded_stop_nothing(world: World) -> None:
    one = world.group.start("one", LIM_MATCHER__POLL_S="0.01")
    for number in range(30):
        publish_index(world.store, f"brief-{number}", f"brief-{number}", unit_rows(number, 50))
        time.sleep(0.005 * (number % 6))  # at every point of the loading: none of them is the lucky one
        world.store.delete(head_key(f"brief-{number}"))
    publish_index(world.store, "stays", "stays", unit_rows(9))
    wait_until(lambda: set(one.indexes()) == {LABEL, "stays"}, what="loading what stays, dropping the rest")
    with SyncMatchClient(world.url) as client:
        assert client.match("stays", unit_rows(9)[4]).candidates[0].id == "stays-4"
    assert not one.page("/indexes")["not_loaded"]


def test_a_stopped_matchers_work_is_done_by_the_other(world: World, mail: Mail) -> None:
    first, second = world.group.start("first"), world.group.start("second")
    with Load(world.url, world.index.rows) as load:
        first.signal(signal.SIGSTOP)
        mail.post(100)
        wait_until(lambda: not mail.wire.redis.exists(keys.announcement("first")), what="the lapse")
        mail.wait()
        first.signal(signal.SIGCONT)
        wait_until(lambda: mail.wire.redis.exists(keys.announcement("first")), what="its return")
        mail.post(100)
        load.more(200)
    load.check()
    mail.wait()
    assert second.get("/healthcheck")[0] == first.get("/healthcheck")[0] == 200


def test_stopped_alone_past_its_announcement_it_loses_nothing(world: World, mail: Mail) -> None:
    """Answers held back while the announcement had lapsed are given once it stands again: nobody else is there."""
    one = world.group.start("one")
    mail.post(50)
    one.signal(signal.SIGSTOP)
    wait_until(lambda: not mail.wire.redis.exists(keys.announcement("one")), what="the lapse")
    mail.post(50)
    one.signal(signal.SIGCONT)
    mail.wait()


def test_a_request_that_kills_is_given_up(world: World, mail: Mail) -> None:
    """After five deliveries a request is answered with an error and lies with the dead letters."""
    redis_client = mail.wire.redis
    world.group.start("one", LIM_MATCHER__MAX_DELIVERIES="3").child.stop()
    claim_for(mail, "ghost", 1)
    ((entry, _),) = redis_client.xrange(mail.stream)
    for _ in range(3):
        redis_client.execute_command("XCLAIM", mail.stream, keys.shard_group(0), "ghost", 0, entry)
    world.group.start("two", LIM_MATCHER__MAX_DELIVERIES="3")
    wait_until(mail.answered, what="the answer")
    (answer,) = mail.answered().values()
    assert answer["error"]["error_code"] == 26303
    assert "without an answer" in answer["error"]["detail"]
    assert redis_client.xlen(keys.dead(mail.stream)) == 1
    wait_until(lambda: mail.pending() == 0, what="its acknowledgement")


def test_answered_requests_are_trimmed_and_the_backlog_is_told(world: World, mail: Mail) -> None:
    one = world.group.start("one")
    one.signal(signal.SIGSTOP)
    mail.post(500)
    one.signal(signal.SIGCONT)
    mail.wait()
    wait_until(lambda: mail.wire.redis.xlen(mail.stream) <= 1, what="trimming")
    wait_until(lambda: not mail.wire.redis.exists(keys.backlog(LABEL)), what="the end of the backlog")


def test_what_waited_too_long_for_a_matcher_expires(world: World, mail: Mail) -> None:
    world.group.start("one").child.stop()
    for _ in range(3):
        mail.post(1, ttl_ms=1)
    mail.post(1)
    world.group.start("two")
    wait_until(lambda: len(mail.answered()) == 4, what="every answer")
    codes = [mail.answered()[rid].get("error", {}).get("error_code") for rid in mail.rids]
    assert codes == [26310] * 3 + [None]


@pytest.mark.drill
@pytest.mark.timeout(120)
def test_what_a_consumer_held_that_nobody_knew_is_answered_in_the_end(world: World, mail: Mail) -> None:
    """It came and went between two looks of the only matcher, which may have been stopped meanwhile."""
    world.group.start("one")
    mail.post(1)
    mail.wait()
    claim_for(mail, "ghost", 10)
    mail.wait(timeout_s=45)


@pytest.mark.drill
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
def test_a_minute_of_chaos(redis_server: Valkey, tmp_path: Path, seed: int) -> None:
    """Three matchers and a seeded hand that kills, stops, restarts, publishes and rolls back."""
    rng = np.random.default_rng(seed)
    with world_of(tmp_path / "world", redis_server.url) as world:
        alive = {name: world.group.start(name) for name in ("a", "b", "c")}
        number = itertools.count()

        def again(name: str) -> Matcher:
            return world.group.start(f"{name.partition('.')[0]}.{next(number)}")

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
            with redis.Redis.from_url(world.url) as client:
                wait_until(lambda: not client.exists(keys.announcement(name)), what="the lapse")
            alive[name].signal(signal.SIGCONT)

        def publish(_: str) -> None:
            publish_index(world.store, LABEL, f"n{next(number)}", unit_rows(int(rng.integers(1 << 30)), 300))

        acts: list[Callable[[str], None]] = [kill, stop, freeze, publish]
        with Load(world.url, unit_rows(7, 50)) as load:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                acts[int(rng.integers(len(acts)))](list(alive)[int(rng.integers(len(alive)))])
                load.more(int(rng.integers(1, 200)))
        load.check()
        for _, answer, _ in load.answers:
            assert {str(one.id).partition("-")[0] for one in answer.candidates} == {answer.index_id}
