"""`lim recover`: Redis emptied, and what it knew of published indexes back from the bucket."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from marked import lim
from published import bucket, publish_index, unit_rows
from tasks import tasks_at, wished

from configs.load import changed
from configs.settings import Quality, Settings, Source, Storage
from manager.errors import AlreadyIndexed
from manager.submitting import Submission, submit
from manager.tasks.finding import Wanted
from manager.tasks.task import Task
from pipeline.artifact import index_prefix, move_head, open_store
from pipeline.artifact.fences import BUILD, take_fence
from pipeline.build import build, make_spec
from pipeline.generate.faces import Generator
from pipeline.order import Order
from pipeline.progress import Lines
from pipeline.stage import serial
from pipeline.workspace import Work

OPTIONS = {"build.recipe": "exact", "build.seed": "7", "build.force": "true", "source.max_reject_share": "0.25"}


@dataclass
class Place:
    """A bucket with lists, as managers have them set."""

    folder: Path
    settings: Settings

    @property
    def environ(self) -> dict[str, str]:
        return {
            "LIM_STORAGE__BUCKET": self.settings.storage.bucket, "LIM_SOURCE__TEMPLATE": self.settings.source.template,
            "LIM_QUALITY__MATED_PROBES": "100", "LIM_QUALITY__NON_MATES": "50",
        }  # fmt: skip

    def order(self, task: Task) -> tuple[Order, Settings]:
        """As the manager's driver builds a task."""
        order = Order(task.source, task.label, task.probes, index_id=task.task_id)
        return order, changed(self.settings, task.options, "options")

    def recover(self, redis_url: str, *arguments: str, code: int = 0, **environ: str) -> dict[str, Any]:
        said = lim(
            self.folder,
            "recover",
            "--json",
            *arguments,
            code=code,
            LIM_MANAGER__REDIS_URL=redis_url,
            **self.environ,
            **environ,
        )
        found: dict[str, Any] = json.loads(said[said.index("{") :])
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "lists").mkdir()
    settings = Settings(
        storage=Storage(bucket=str(tmp_path / "bucket")),
        source=Source(template=str(tmp_path / "lists" / "{label}.npy")),
        quality=Quality(mated_probes=100, non_mates=50),
    )
    for number, label in enumerate(("faces", "others")):
        np.save(tmp_path / "lists" / f"{label}.npy", Generator("mixture", number).chunk(0, 200)[0])
    return Place(tmp_path, settings)


@dataclass
class Parts:
    """What `submit` needs."""

    settings: Settings
    tasks: Any


class Stopped(Exception):
    """A build is ended in its middle."""


def interrupted(*_: Any) -> None:
    raise Stopped


def emptied(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as line:
        line.flushall()


@pytest.mark.timeout(180)
async def test_an_emptied_redis_knows_again_what_is_published(place: Place, redis_url: str) -> None:
    """A built task, one that was interrupted, the leaders' token: as they were before."""
    async with tasks_at(redis_url) as tasks:
        parts = Parts(place.settings, tasks)
        done = await submit(parts, Submission(label="faces", options=OPTIONS, task_id="first"))
        half = await submit(parts, Submission(label="others", options={"build.seed": "3"}, task_id="second"))
        await tasks.claim(1, "here")
        built = build(*place.order(done), lambda: serial, Lines()).manifest
        done = await tasks.succeed("first", 1, built.count, built.content_digest)
        await tasks.claim(1, "here")
        with pytest.raises(Stopped):
            build(*place.order(half), lambda: interrupted, Lines())
        known = await tasks.built("faces")
        emptied(redis_url)
        take_fence(open_store(place.settings.storage.bucket), BUILD, above=6)

        said = place.recover(redis_url)
        assert said["bucket"]["serving"] == {"faces": "first"}
        assert (said["bucket"]["indexes"], said["bucket"]["interrupted"]) == (["first"], ["second"])
        assert (said["redis"]["labels"], said["redis"]["history"]) == ({"restored": 1}, {"restored": 1})
        assert (said["redis"]["queued"], said["redis"]["fence"]) == ([], [0, 7])
        again = await tasks.built("faces")
        assert known
        assert again
        assert {**again, "created": ""} == {**known, "created": ""}
        task = await tasks.get("first")
        for name in ("status", "label", "source", "probes", "options", "content", "fingerprint", "rows", "digest"):
            assert getattr(task, name) == getattr(done, name), name
        assert 0 < task.created <= task.ended
        with pytest.raises(AlreadyIndexed, match="index first"):
            await submit(parts, Submission(label="faces", options=OPTIONS))
        with redis.Redis.from_url(redis_url) as line:
            assert line.get("lim:fence") == b"7"

        said = place.recover(redis_url, "--interrupted")
        assert (said["redis"]["labels"], said["redis"]["history"]) == ({"there": 1}, {"there": 1})
        assert said["redis"]["queued"] == ["second"]
        waits = await tasks.get("second")
        assert (waits.content, waits.options, waits.status) == (half.content, half.options, "pending")
        work = Work(open_store(place.settings.storage.bucket), make_spec(*place.order(waits)))
        assert work.load_json("spec.json")["index_id"] == "second", "it goes on in the same folder"
        assert place.recover(redis_url, "--interrupted")["redis"]["queued"] == ["second"], (
            "and once more changes nothing"
        )
        assert await tasks.waiting(10) == ["second"]


def published(place: Place, label: str, index_id: str, days: float, **changes: Any) -> None:
    """An index of so many days ago, without a report."""
    created = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
    rows = unit_rows(1, 20)
    publish_index(bucket(Path(place.settings.storage.bucket)), label, index_id, rows, created=created, **changes)


@pytest.fixture
def versions(place: Place) -> Place:
    """Two labels of two versions; that of the second label was rolled back."""
    for label in ("a/b", "люди"):
        for days in (3, 1):
            published(place, label, f"{label[0]}{days}", days, watermark=f"content-{days}")
    move_head(open_store(place.settings.storage.bucket), "люди", "л3")
    return place


async def test_the_newest_index_of_each_label(versions: Place, redis_url: str) -> None:
    """It holds the content that was looked for last, also where an earlier one serves."""
    said = versions.recover(redis_url)
    assert said["bucket"]["serving"] == {"a/b": "a1", "люди": "л3"}
    assert (said["redis"]["labels"], said["redis"]["history"]) == ({"restored": 2}, {"restored": 4})
    async with tasks_at(redis_url) as tasks:
        for label in ("a/b", "люди"):
            built = await tasks.built(label)
            assert built
            assert (built["task_id"], built["fingerprint"], built["rows"]) == (f"{label[0]}1", "content-1", "20")
        found = (await tasks.find(Wanted(statuses=("success",)), 10)).tasks
        assert sorted(task.task_id for task in found) == ["a1", "a3", "л1", "л3"]
        assert found[0].created > found[-1].created
        with pytest.raises(AlreadyIndexed):  # what is known by its fingerprint alone, for whoever sets no option
            await tasks.submit(wished("new", "a/b", fingerprint="content-1"))
        assert (await tasks.submit(wished("new", "a/b", fingerprint="content-3"))).status == "pending"
        scan = wished("scan", "a/b", fingerprint="content-1", options={"build.recipe": "scan"})
        assert (await tasks.submit(scan)).status == "pending"


async def test_what_redis_knows_stays(versions: Place, redis_url: str) -> None:
    """Recovering into a Redis that is in use adds what it lacks, and says what it left alone."""
    async with tasks_at(redis_url) as tasks:
        await tasks.submit(wished("a1", "a/b", priority=4))
        await tasks.submit(wished("newer", "люди"))
        await tasks.claim(9, "here")
        await tasks.claim(9, "here")
        await tasks.succeed("newer", 9, 5, "d")
        said = versions.recover(redis_url)["redis"]
        assert (said["labels"], said["history"]) == ({"newer": 1, "restored": 1}, {"there": 1, "restored": 3})
        assert said["fence"] == [9, 0]
        mine = await tasks.get("a1")
        assert (mine.status, mine.priority, mine.submitted_by) == ("indexing", 4, "")
        assert (await tasks.built("люди") or {})["task_id"] == "newer"
        assert [task.task_id for task in await tasks.adopt(9)] == ["a1"], "no token was lowered"


async def test_old_ones_are_not_history(versions: Place, redis_url: str) -> None:
    store = open_store(versions.settings.storage.bucket)
    path = Path(versions.settings.storage.bucket)
    for index_id in ("a3", "л3"):
        label = "a/b" if index_id == "a3" else "люди"
        os.utime(path / (index_prefix(label, index_id) + "meta.json"), (time.time() - 3 * 86_400,) * 2)
    said = versions.recover(redis_url, LIM_MANAGER__HISTORY_S=str(2 * 86_400))["redis"]
    assert (said["labels"], said["history"]) == ({"restored": 2}, {"old": 2, "restored": 2})
    async with tasks_at(redis_url) as tasks:
        assert (await tasks.counts())["success"] == 2
    assert len(store.keys("catalog/")) == 2


def test_what_cannot_be_read_is_named(versions: Place, redis_url: str) -> None:
    path = Path(versions.settings.storage.bucket)
    (path / (index_prefix("a/b", "a1") + "meta.json")).write_text("{")
    said = versions.recover(redis_url, code=1)
    assert [problem.partition(":")[0] for problem in said["bucket"]["problems"]] == ["indexes/a%2Fb/a1/meta.json"]
    assert said["redis"]["history"] == {"restored": 3}


def test_words(versions: Place, redis_url: str) -> None:
    environ = {"LIM_MANAGER__REDIS_URL": redis_url, **versions.environ}
    said = lim(versions.folder, "recover", "--dry-run", **environ)
    assert "the bucket has 2 labels with 4 indexes and 0 interrupted builds of managers" in said
    with redis.Redis.from_url(redis_url) as line:
        assert line.keys("lim:*") == []
    said = lim(versions.folder, "recover", **environ)
    assert "newest index of each label: 2 restored" in said
    assert "history of published indexes: 4 restored" in said
    said = lim(versions.folder, "recover", code=1, **{**environ, "LIM_MANAGER__REDIS_URL": "redis://127.0.0.1:9/0"})
    assert "error: Redis at 127.0.0.1:9: expected an answer" in said
