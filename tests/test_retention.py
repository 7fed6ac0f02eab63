"""Old versions, works of dead builds: removed from real buckets, or said why not."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from announcements import announce, holding
from marked import lim
from matchers import environment
from published import bucket, publish_index, unit_rows
from waiting import eventually

from configs.settings import Manager, Storage
from manager.connecting import connect
from manager.embedded.seaweed import S3
from manager.matchers import Matchers
from manager.retention import inventory
from manager.retention.facts import Decision
from manager.retention.retention import Retention
from manager.tasks.task import Task
from manager.tasks.tasks import Tasks
from pipeline.artifact import MANIFEST, Store, index_prefix, move_head, open_store
from pipeline.artifact.fences import take_fence

DAY = 86_400.0
SECTION = Manager(keep=1, keep_s=DAY, orphan_s=DAY, retention_period_s=0.2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return bucket(tmp_path / "bucket")


@pytest.fixture
async def tasks(redis_url: str) -> AsyncIterator[Tasks]:
    client = connect(redis_url)
    yield Tasks(client, SECTION)
    await client.aclose()


@pytest.fixture
async def made(store: Store, tasks: Tasks, redis_url: str) -> AsyncIterator[Retention]:
    client = connect(redis_url, text=False)
    yield Retention(SECTION, store, tasks, Matchers(client))
    await client.aclose()


def aged(tmp_path: Path, prefix: str, days: float) -> None:
    """All below a prefix was written so many days ago."""
    when = time.time() - days * DAY
    for path in (tmp_path / "bucket" / prefix).rglob("*"):
        if path.is_file():
            os.utime(path, (when, when))


def versions(store: Store, *ids: str, label: str = "people") -> None:
    for day, index_id in enumerate(ids, 1):
        publish_index(store, label, index_id, unit_rows(day, 5, 16), created=f"2026-02-{day:02d}T00:00:00+00:00")


def work(store: Store, hash_: str, index_id: str) -> None:
    """What a build leaves that was killed."""
    store.write(f"work/{hash_}/spec.json", json.dumps({"label": "people", "index_id": index_id}).encode())
    store.write(f"work/{hash_}/rows/00000.npy", b"rows")
    store.write(f"work/{hash_}/done/extract/00000", b"{}")
    store.write(index_prefix("people", index_id) + "shards/0000/index.dat", b"half")


def left(store: Store, prefix: str = "indexes/people/") -> set[str]:
    return {key.removeprefix(prefix).partition("/")[0] for key in store.keys(prefix)}


async def collected(made: Retention) -> list[Decision]:
    found = await made.decisions(time.time())
    return [await made.carry_out(one) for one in found if one.goes]


async def test_old_versions_go_and_what_is_needed_stays(
    store: Store, made: Retention, tmp_path: Path, redis_url: str
) -> None:
    versions(store, "a", "b", "c", "d", "e", "f")
    aged(tmp_path, "indexes/people", 9)
    move_head(store, "people", "b")
    announce(redis_url, "m1", holding("people", "c", retired=True), figures={"loading": [["people", "d", 0]]})
    done = await collected(made)
    assert [(one.thing.index_id, one.goes) for one in done] == [("e", True), ("a", True)]
    assert left(store) == {"b", "c", "d", "f"}
    assert not [one for one in await made.decisions(time.time()) if one.goes]


async def test_works_go_unless_a_task_or_their_age_says_otherwise(
    store: Store, tasks: Tasks, made: Retention, tmp_path: Path
) -> None:
    for hash_, index_id in (("11", "dead"), ("22", "queued"), ("33", "young")):
        work(store, hash_, index_id)
    aged(tmp_path, "work/11", 2)
    aged(tmp_path, "work/22", 2)
    aged(tmp_path, "indexes", 2)
    await tasks.submit(Task(task_id="queued", label="people", source="file:///x", content="c"))
    done = await collected(made)
    assert {one.thing.prefix for one in done if one.goes} == {"work/11/", index_prefix("people", "dead")}
    assert (left(store, "work/"), left(store)) == ({"22", "33"}, {"queued", "young"})


async def test_what_is_needed_since_the_decision_stays(
    store: Store, tasks: Tasks, made: Retention, tmp_path: Path, redis_url: str
) -> None:
    versions(store, "a", "b", "c", "d", "e")
    work(store, "11", "again")
    aged(tmp_path, "", 9)
    decided = {one.thing.prefix: one for one in await made.decisions(time.time()) if one.goes}
    assert set(decided) == {*(index_prefix("people", one) for one in ("a", "b", "c", "again")), "work/11/"}
    move_head(store, "people", "a")
    announce(redis_url, "m1", holding("people", "b"))
    await tasks.submit(Task(task_id="again", label="people", source="file:///x", content="c"))
    whys = {
        one.thing.prefix: one.why for one in [await made.carry_out(one) for one in decided.values()] if not one.goes
    }
    assert "it serves" in whys[index_prefix("people", "a")]
    assert "m1" in whys[index_prefix("people", "b")]
    assert "its task, which is pending" in whys["work/11/"]
    assert left(store) == {"a", "b", "d", "e", "again"}


async def test_what_starts_to_serve_while_it_is_removed_is_put_back(
    store: Store, made: Retention, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(store, "a", "b", "c")
    aged(tmp_path, "indexes", 9)
    (decision,) = [one for one in await made.decisions(time.time()) if one.goes]
    delete: Callable[..., None] = type(store).delete

    def rolled_to(self: Store, *keys: str) -> None:
        delete(self, *keys)
        if keys[0].endswith(MANIFEST):
            move_head(store, "people", "a")

    monkeypatch.setattr(type(store), "delete", rolled_to)
    done = await made.carry_out(decision)
    assert (done.goes, done.thing.index_id) == (False, "a")
    assert "let it serve" in done.why
    assert store.read(index_prefix("people", "a") + MANIFEST)
    assert len(store.keys(index_prefix("people", "a"))) == 3


async def test_the_leader_removes_by_itself_until_another_leads(
    store: Store, made: Retention, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    versions(store, "a", "b", "c")
    aged(tmp_path, "indexes", 9)
    fence = take_fence(store, "build")
    running = asyncio.create_task(made.run(fence))
    await eventually(lambda: left(store) == {"b", "c"}, what="the removal")
    take_fence(store, "build")
    versions(store, "d", "e", label="people")
    aged(tmp_path, "indexes", 9)
    await eventually(running.done, what="the end of a leader that was")
    assert "Nothing is removed any more" in caplog.text
    assert left(store) == {"b", "c", "d", "e"}
    assert store.keys("clock/") == []


async def test_without_a_period_nothing_is_removed(store: Store, tasks: Tasks, tmp_path: Path, redis_url: str) -> None:
    versions(store, "a", "b", "c")
    aged(tmp_path, "indexes", 9)
    client = connect(redis_url, text=False)
    retention = Retention(replace(SECTION, retention_period_s=0.0), store, tasks, Matchers(client))
    await asyncio.wait_for(retention.run(take_fence(store, "build")), 5.0)  # it returns
    assert left(store) == {"a", "b", "c"}
    await client.aclose()


async def test_a_redis_that_does_not_answer_removes_nothing(store: Store, tmp_path: Path) -> None:
    versions(store, "a", "b", "c")
    aged(tmp_path, "indexes", 9)
    nowhere = connect("redis://127.0.0.1:9", tries=0)
    retention = Retention(SECTION, store, Tasks(nowhere, SECTION), Matchers(nowhere))
    running = asyncio.create_task(retention.run(take_fence(store, "build")))
    await asyncio.wait({running}, timeout=1.0)
    assert not running.done()
    running.cancel()
    assert left(store) == {"a", "b", "c"}
    await nowhere.aclose()


def test_gc_explains_before_it_removes(store: Store, tmp_path: Path, redis_url: str) -> None:
    versions(store, "a", "b", "c", "d")
    versions(store, "x", label="others")
    work(store, "11", "dead")
    aged(tmp_path, "", 9)
    environ = environment(tmp_path, redis_url) | {"LIM_MANAGER__KEEP": "1", "LIM_MANAGER__KEEP_S": "86400"}
    said = json.loads(lim(tmp_path, "gc", "--dry-run", "--json", **environ))
    assert said["dry_run"] is True
    found = {(one["kind"], one["index_id"]): (one["removed"], one["why"]) for one in said["decisions"]}
    assert found["version", "d"] == (False, "it serves")
    assert found["version", "x"] == (False, "it serves")
    assert found["version", "c"][1].startswith("it served before")
    assert [key for key, (removed, _) in found.items() if removed] == [
        ("version", "b"), ("version", "a"), ("unfinished", "dead"), ("work", "dead"),
    ]  # fmt: skip
    assert left(store) == {"a", "b", "c", "d", "dead"}
    said = lim(tmp_path, "gc", "--label", "people", **environ)
    assert f"removed {index_prefix('people', 'a')} (version, " in said
    assert f"keeps {index_prefix('people', 'd')} (version, " in said
    assert "removed 4 of 6" in said
    assert left(store) == {"c", "d"}
    assert left(store, "indexes/others/") == {"x"}


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_the_store_tells_its_own_time(kind: str, store: Store, request: pytest.FixtureRequest) -> None:
    if kind == "s3":
        server: S3 = request.getfixturevalue("s3_server")
        store = open_store(request.getfixturevalue("s3_url"), Storage(endpoint_url=server.endpoint))
    assert abs(inventory.clock(store) - time.time()) < 5
    assert store.keys() == []
