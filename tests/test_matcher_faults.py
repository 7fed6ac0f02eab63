"""Matchers that die or hang, and servers that do: nothing is lost."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from crowd import LABEL, Load, Mail, World, claim_for, served_by, world_of
from published import publish_index, unit_rows
from waiting import wait_until

from manager.embedded.valkey import Valkey
from matcher import keys
from matcher.client_sync import SyncMatchClient


def test_killing_one_of_two_loses_nothing(crowd: World, mail: Mail) -> None:
    first, _second = crowd.group.start("first"), crowd.group.start("second")
    with Load(crowd.url, crowd.index.rows) as load:
        mail.post(100)
        first.child.kill()
        mail.post(100)
        load.more(600)
    load.verify()
    mail.verify()
    assert all(answer.candidates[0].id == f"old-{number}" for number, answer, _ in load.answers)
    wait_until(lambda: served_by(mail) == {"second"}, what="forgetting the dead consumer")


def test_what_a_killed_matcher_held_is_taken_over(crowd: World, mail: Mail) -> None:
    """The dead one is stopped first, so that it surely has read and not answered."""
    first, second = crowd.group.start("first"), crowd.group.start("second")
    second.signal(signal.SIGSTOP)
    mail.post(1)
    mail.verify()
    first.signal(signal.SIGSTOP)  # a blocked read of it still takes what comes within its 50 ms
    mail.post(1)
    second.signal(signal.SIGCONT)
    mail.post(50)
    first.child.kill()
    mail.verify()
    assert crowd.group.running[1].get("/healthcheck")[0] == 200


def test_killed_and_started_again_under_the_same_name_it_finds_what_it_held(crowd: World, mail: Mail) -> None:
    """Nobody else takes over: its announcement may not even lapse in between."""
    first = crowd.group.start("same")
    claim_for(mail, "same", 10)
    first.child.kill()
    crowd.group.start("same")
    mail.verify()


def test_a_reply_lost_on_its_way_is_found_again(crowd: World, mail: Mail) -> None:
    """A single matcher that never died: the server delivered to it, the connection broke before it heard."""
    crowd.group.start("only")
    claim_for(mail, "only", 25)
    mail.wire.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    mail.post(5)
    mail.verify()


def test_a_dead_matchers_requests_are_taken_by_the_next_that_starts(crowd: World, mail: Mail) -> None:
    first = crowd.group.start("first")
    claim_for(mail, "first", 10)
    first.child.kill()
    wait_until(lambda: not mail.wire.redis.exists(keys.announcement("first")), what="the lapse")
    crowd.group.start("second")
    mail.verify()
    wait_until(lambda: served_by(mail) == {"second"}, what="forgetting the dead consumer")


def test_a_lapse_noticed_while_an_index_is_loaded_is_not_forgotten(crowd: World, mail: Mail) -> None:
    first, second = crowd.group.start("first"), crowd.group.start("second", LIM_MATCHER__POLL_S="0.02")
    claim_for(mail, "first", 10)
    first.child.kill()
    number = 0
    while mail.wire.redis.exists(keys.announcement("first")) or number < 5:
        # each switch renews the announcement, and so may be the one that sees the lapse
        number += 1
        publish_index(crowd.store, "busy", f"busy-{number}", unit_rows(number, 50))
        wait_until(lambda name=f"busy-{number}": second.indexes().get("busy") == name, what="the switch")
    mail.verify()


def test_killing_redis_loses_nothing(redis_server: Valkey, tmp_path: Path) -> None:
    """Its append-only file holds whatever it has said yes to; matchers and clients come back by themselves."""
    with world_of(tmp_path / "crowd", redis_server.url) as crowd:
        one = crowd.group.start("one")
        with Load(crowd.url, crowd.index.rows) as load:
            before = Mail(crowd.url, crowd.index)
            before.post(300)
            before.close()
            redis_server.kill()
            redis_server.restart()
            after = Mail(crowd.url, crowd.index)
            after.rids, after.name = before.rids, before.name
            after.post(20)
            after.verify()
            after.close()
            load.more(100)
        load.verify()
        wait_until(lambda: one.get("/healthcheck")[0] == 200, what="good health")


def test_an_emptied_redis_is_filled_again(crowd: World, mail: Mail) -> None:
    one = crowd.group.start("one")
    mail.wire.redis.flushall()
    wait_until(lambda: mail.wire.redis.exists(keys.announcement("one")), what="the announcement")
    wait_until(lambda: mail.wire.redis.exists(mail.stream), what="the stream")
    mail.post(20)
    mail.verify()
    with SyncMatchClient(crowd.url) as client:
        assert client.match(LABEL, crowd.index.rows[0]).candidates[0].id == "old-0"
    assert one.get("/healthcheck")[0] == 200


def test_a_stopped_matchers_work_is_done_by_the_other(crowd: World, mail: Mail) -> None:
    first, second = crowd.group.start("first"), crowd.group.start("second")
    with Load(crowd.url, crowd.index.rows) as load:
        first.signal(signal.SIGSTOP)
        mail.post(100)
        wait_until(lambda: not mail.wire.redis.exists(keys.announcement("first")), what="the lapse")
        mail.verify()
        first.signal(signal.SIGCONT)
        wait_until(lambda: mail.wire.redis.exists(keys.announcement("first")), what="its return")
        mail.post(100)
        load.more(200)
    load.verify()
    mail.verify()
    assert second.get("/healthcheck")[0] == first.get("/healthcheck")[0] == 200


def test_stopped_alone_past_its_announcement_it_loses_nothing(crowd: World, mail: Mail) -> None:
    """Answers held back while the announcement had lapsed are given once it stands again: nobody else is there."""
    one = crowd.group.start("one")
    mail.post(50)
    one.signal(signal.SIGSTOP)
    wait_until(lambda: not mail.wire.redis.exists(keys.announcement("one")), what="the lapse")
    mail.post(50)
    one.signal(signal.SIGCONT)
    mail.verify()


def test_a_request_that_kills_is_given_up(crowd: World, mail: Mail) -> None:
    """After five deliveries a request is answered with an error and lies with the dead letters."""
    redis_client = mail.wire.redis
    crowd.group.start("one", LIM_MATCHER__MAX_DELIVERIES="3").child.stop()
    claim_for(mail, "ghost", 1)
    ((entry, _),) = redis_client.xrange(mail.stream)
    for _ in range(3):
        redis_client.execute_command("XCLAIM", mail.stream, keys.shard_group(0), "ghost", 0, entry)
    crowd.group.start("two", LIM_MATCHER__MAX_DELIVERIES="3")
    wait_until(mail.answered, what="the answer")
    (answer,) = mail.answered().values()
    assert answer["error"]["error_code"] == 26303
    assert "without an answer" in answer["error"]["detail"]
    assert redis_client.xlen(keys.dead(mail.stream)) == 1
    wait_until(lambda: mail.pending() == 0, what="its acknowledgement")


@pytest.mark.drill
@pytest.mark.timeout(120)
def test_what_a_consumer_held_that_nobody_knew_is_answered_in_the_end(crowd: World, mail: Mail) -> None:
    """It came and went between two looks of the only matcher, which may have been stopped meanwhile."""
    crowd.group.start("one")
    mail.post(1)
    mail.verify()
    claim_for(mail, "ghost", 10)
    mail.verify(timeout_s=45)
