"""The service `lim manager`: how it starts, who leads, how it ends."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from pathlib import Path

import pytest
import redis
from managers import LEASE_S, managers
from waiting import eventually, wait_until

from configs.errors import ConfigError, LimError
from configs.settings import Http, Manager, Settings, Storage
from manager.command import bucket, run
from manager.connecting import connect
from manager.embedded.valkey import Valkey
from manager.health import Health
from manager.leading.ending import ended
from manager.leading.lease import Lease
from manager.leading.lock import lease_key
from manager.matchers import Matchers
from manager.shelf.shelf import Shelf
from pipeline.artifact import ConditionsIgnored, open_store
from pipeline.artifact.local_store import LocalStore
from pipeline.web.serving import listening


@pytest.mark.timeout(120)
def test_managers_answer_while_one_leads_and_another_takes_over(redis_url: str, tmp_path: Path) -> None:
    """Killed, then stopped in order: each time the other leads with a newer fence, and work goes on."""
    with managers(tmp_path, redis_url, 2) as group:
        first = group.leader()
        (other,) = (one for one in group.running if one is not first)
        for one in group.running:
            assert one.ask("/1/version")[1]["Version"]["api"] == 1
            assert one.ask("/1/healthcheck") == (200, {"status": "ok", "problems": []})
            wait_until(lambda one=one: first.child.name in one.ask("/")[1], what="the page saying who leads")
        killed = time.monotonic()
        first.child.kill()
        group.leader(but=first)
        assert time.monotonic() - killed < 2 * LEASE_S
        third = group.start()
        assert not third.leads()
        stopped = time.monotonic()
        assert other.child.stop() == 0
        assert time.monotonic() - stopped < 5.0
        assert group.leader(but=other) is third
        assert third.said("leads with fence 3") == 1
    with redis.Redis.from_url(redis_url) as client:
        assert not client.exists(lease_key("lim_manager")), "given back at the end"


@pytest.mark.timeout(120)
def test_without_redis_it_says_so_and_comes_back(redis_server: Valkey, tmp_path: Path) -> None:
    with managers(tmp_path, redis_server.url, 1) as group:
        (one,) = group.running
        group.leader()
        redis_server.kill()
        wait_until(lambda: one.ask("/healthcheck")[0] == 503, what="the health saying no")
        assert "the Redis of the tasks does not answer" in one.ask("/healthcheck")[1]["problems"][0]
        wait_until(lambda: not one.leads(), what="the end of its work")
        status, said = one.ask("/1/tasks", {"list_id": "a", "source": "nothing"})
        assert status in (422, 503), said
        redis_server.restart()
        wait_until(lambda: one.ask("/healthcheck")[0] == 200, what="the health")
        group.leader()
        one.signal(signal.SIGTERM)
        wait_until(lambda: one.child.process is not None and one.child.process.poll() == 0, what="its end")


async def test_a_while_without_a_leader_is_an_alarm(redis_url: str, tmp_path: Path) -> None:
    """Requests are answered all the same, so that it is no reason to send nobody here."""
    settings = Settings(manager=Manager(lease_s=0.2, redis_url=redis_url))
    store, redis = open_store(str(tmp_path)), connect(redis_url, tries=0)
    lease = Lease(redis, store, settings.manager, "http://one")
    health = Health(settings, lease, Shelf(store, Matchers(redis), 1.0))
    await health.look()
    assert (health.leader, health.problems(), health.alarms()) == ("", [], [])
    await eventually(health.alarms)
    assert re.fullmatch(r"no manager has led for \d s, so nothing is built: .*", health.alarms()[0])

    async def work(_: int) -> None:
        await asyncio.Event().wait()

    holding = asyncio.create_task(lease.hold(work))
    await eventually(lease.leads)
    await health.look()
    assert (health.leader, health.alarms()) == ("http://one", [])
    await ended([holding])
    await redis.aclose()


def test_a_taken_port_is_named() -> None:
    with listening("127.0.0.1", 0, "any") as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            LimError, match=rf"http.manager_port: expected to listen on 127.0.0.1:{port}, got: .*; set another"
        ):
            run(Settings(http=Http(manager_port=port)))


def test_a_bucket_that_only_we_see_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"storage.bucket: expected a folder or s3://…, .* got memory://here"):
        bucket(Storage(bucket="memory://here"))


def test_a_bucket_that_ignores_conditions_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two leaders would both believe that they published."""

    def granted(self: LocalStore, key: str, data: bytes) -> object:
        return self.write(key, data)

    monkeypatch.setattr(LocalStore, "create", granted)
    with pytest.raises(
        ConditionsIgnored, match="a second create-if-absent of the same key was granted, so two writers"
    ):
        bucket(Storage(bucket=str(tmp_path)))
    assert bucket(Storage(bucket=str(tmp_path), conditional_writes="trust")).keys() == []
