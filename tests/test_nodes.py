"""Builds on a cluster whose workers and scheduler are killed, on unlike workers, in threads, with poison in them."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from distributed import Client, Future, LocalCluster, get_worker
from nodes import figures, kill, nodes
from waiting import wait_until

from configs.settings import Build, Dask, Quality, Settings, Storage
from pipeline.artifact import open_store
from pipeline.build import Built, begin, build, make_spec
from pipeline.device.threads import pinned
from pipeline.errors import StageFailed
from pipeline.generate.faces import Generator
from pipeline.graph import cluster, on_dask
from pipeline.nodes.offers import offered
from pipeline.order import Order
from pipeline.progress import Lines
from pipeline.stage import Done, Item, Stage, serial
from pipeline.workspace import Work

ROWS = 6_000
SMALL = Quality(mated_probes=1_500, non_mates=500, added_fnir=0.003)
MIB = 1 << 20


def settings_for(bucket: Path) -> Settings:
    return Settings(
        storage=Storage(bucket=str(bucket)),
        build=Build(partition_rows=500, sample_rows=4_000, recipe="scan"),
        quality=SMALL,
    )


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gallery") / "rows.npy"
    np.save(path, Generator("mixture", 3).chunk(0, ROWS)[0])
    return path


@pytest.fixture(scope="module")
def reference(gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A serial build of the same list."""
    settings = settings_for(tmp_path_factory.mktemp("reference"))
    return build(Order(str(gallery), "list"), settings, lambda: serial, Lines())


@pytest.mark.timeout(180)
def test_a_worker_and_the_scheduler_are_killed(reference: Built, gallery: Path, tmp_path: Path) -> None:
    """The same command goes on when the scheduler is back, redoes no item that was finished, publishes the same."""
    with nodes(tmp_path, LIM_DASK__RETURN_TIMEOUT_S="60") as found:
        running = found.build(gallery)
        wait_until(lambda: found.done("extract"), timeout_s=60, what="an item")
        if worker := found.indexers[0].worker():
            kill(worker)
        wait_until(lambda: found.done("sample"), timeout_s=60, what="the sample")
        done = {file: file.stat().st_mtime_ns for file in found.bucket.glob("work/*/done/extract/*")}
        assert found.scheduler is not None
        found.scheduler.kill()
        found.start_scheduler()
        with contextlib.suppress(FileNotFoundError):  # the build may be so quick that its work folder is gone
            assert {file: file.stat().st_mtime_ns for file in done} == done
        got = figures(running, timeout_s=120)
        found.wait_joined()
    assert got["content_digest"] == reference.manifest.content_digest
    assert got["stages"]["extract"]["items"] == ROWS / 500
    for one in found.indexers:
        assert one.child.process is not None
        assert one.child.process.returncode == 0, one.child.tail()


class Sizes:
    """Bytes of the arguments of each task, and of each result that was fetched."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.sent: list[int] = []
        self.fetched: list[int] = []
        submit, result = Client.submit, Future.result

        def submitted(client: Client, *arguments: Any, **named: Any) -> Future:
            self.sent.append(len(pickle.dumps(arguments)))
            return submit(client, *arguments, **named)

        def gathered(future: Future, timeout: Any = None) -> Any:
            found = result(future, timeout)
            self.fetched.append(len(pickle.dumps(found)))
            return found

        patch.setattr(Client, "submit", submitted)
        patch.setattr(Future, "result", gathered)


@pytest.mark.timeout(120)
def test_threads_of_one_worker_build_the_same_with_small_messages(
    reference: Built, gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 × 2 against serial; nothing that travels through the scheduler has 1 MiB, or anywhere near."""
    sizes, dask = Sizes(monkeypatch), Dask(workers=1, threads_per_worker=2)
    with cluster(dask) as client:
        assert {one["nthreads"] for one in client.scheduler_info()["workers"].values()} == {2}
        built = build(Order(str(gallery), "list"), settings_for(tmp_path), lambda: on_dask(client, dask), Lines())
    assert built.manifest.content_digest == reference.manifest.content_digest
    items = sum(int(stage["items"]) for stage in built.stages.values())
    assert len(sizes.sent) == len(sizes.fetched) == items
    assert max(sizes.sent) < 32 << 10
    assert max(sizes.fetched) < 1 << 10
    spent = sum(stage["cpu_s"] for stage in built.stages.values())
    assert 0 < spent < 4 * built.seconds, "two threads, and what feeds them"


@contextlib.contextmanager
def pair(failures: int = 3) -> Iterator[Client]:
    """Two workers of a cluster that takes a task for poisonous after so many deaths."""
    with dask.config.set({"distributed.scheduler.allowed-failures": failures}), cluster(Dask(workers=2)) as client:
        yield client


@pytest.fixture
def work(gallery: Path, tmp_path: Path) -> Work:
    """The work folder of a build that does not get far."""
    settings = settings_for(tmp_path / "bucket")
    store = open_store(settings.storage.bucket)
    return Work(store, begin(store, make_spec(Order(str(gallery), "list"), settings)))


EIGHT = [Item(f"{number:05d}", number) for number in range(8)]


@pytest.mark.timeout(120)
def test_poison_is_told_from_bystanders(work: Work) -> None:
    """With no death forgiven all that was on the dead worker is suspected; alone, only the one that kills is guilty."""

    def run(work: Work, number: int) -> int:
        if number == 3 and not work.keys("cured"):
            logging.getLogger("pipeline.extract").warning("row 1502 looks odd")
            for _ in range(2):  # what it says goes through its event loop, then waits 2 ms for company
                turn = threading.Event()
                get_worker().loop.add_callback(turn.set)
                turn.wait()
                while get_worker().batched_stream.buffer:
                    time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGKILL)
        work.write(f"ran/{number}/{time.monotonic_ns()}", b"")
        return 10

    stage, told = Stage("extract", run), []
    quick = Dask(connect_timeout_s=20)
    with pair(failures=0) as client:
        with pytest.raises(StageFailed) as caught:
            on_dask(client, quick)(stage, work, EIGHT, told.append)
        said = str(caught.value)
        assert said.startswith("extract 00003 (3): killed worker tcp://")
        for part in (
            "extract 00003 begins",
            "row 1502 looks odd",
            "was killed by signal 9",
            "lower build.partition_rows",
            "run the same command again",
        ):
            assert part in said
        before = {one.key for one in told}
        assert "00003" not in before
        assert len(before) == len(told)
        work.write("cured", b"")
        left = [item for item in EIGHT if f"done/extract/{item.key}" not in work.keys("done/")]
        on_dask(client, quick)(stage, work, left, told.append)
    assert sorted(one.key for one in told) == [item.key for item in EIGHT]


@pytest.mark.timeout(120)
def test_only_workers_that_compute_the_same_get_items(work: Work) -> None:
    """Of two workers one offers nothing; a build of another faiss finds none, and says what differs where."""

    def run(work: Work, number: int) -> int:
        work.write(f"ran/{get_worker().name}/{number}", b"")
        return 1

    stage, told = Stage("extract", run), []
    options = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=1, resources=offered(1), **options) as local, Client(local) as client:
        local.worker_spec |= {
            "unlike": {**local.worker_spec[0], "options": {**local.worker_spec[0]["options"], "resources": {}}}
        }
        local.sync(local._correct_state)
        client.wait_for_workers(2)
        on_dask(client)(stage, work, EIGHT, told.append)
        assert {key.split("/")[1] for key in work.keys("ran/")} == {"0"}
        elsewhere = replace(work, spec=replace(work.spec, versions=work.spec.versions | {"faiss": "0.0", "extra": "x"}))
        with pytest.raises(StageFailed) as caught:
            on_dask(client, Dask(connect_timeout_s=0.5))(stage, elsewhere, EIGHT, told.append)
        said = str(caught.value)
    assert len(told) == len(EIGHT)
    assert f"(0): extra missing instead of x, faiss {work.spec.versions['faiss']} instead of 0.0" in said
    assert "(unlike): extra missing instead of x" in said


@pytest.mark.timeout(120)
def test_an_indexer_leaves_and_then_the_scheduler(work: Work, tmp_path: Path) -> None:
    """An item of an hour is handed to the other indexer, exit code 0 in time; a scheduler that stays away ends the build."""

    def run(work: Work, number: int) -> int:
        mine = get_worker().name.rpartition("/")[2]
        first = not work.keys("at-work/")
        work.write(f"at-work/{mine}", b"")
        if first or number == 1:
            threading.Event().wait(3600)
        return 1

    told: list[Done] = []
    stage, settings = Stage("extract", run), Dask(return_timeout_s=1.5)
    with (
        nodes(tmp_path, LIM_INDEXER__SHUTDOWN_S="4") as found,
        cluster(replace(settings, scheduler=found.address)) as client,
    ):
        runner = on_dask(client, settings)

        def when_begun(count: int, call: Callable[[], object]) -> None:
            wait_until(lambda: len(work.keys("at-work/")) == count, timeout_s=60, what="the item")
            call()

        def leave() -> None:
            (name,) = (key.rpartition("/")[2] for key in work.keys("at-work/"))
            os.kill(next(one.child.pid for one in found.indexers if name.startswith(one.child.name)), signal.SIGTERM)

        with ThreadPoolExecutor(1) as pool:
            left = pool.submit(when_begun, 1, leave)
            runner(stage, work, EIGHT[:1], told.append)
            left.result()
        assert [one.key for one in told] == ["00000"]
        assert len(work.keys("at-work/")) == 2
        wait_until(
            lambda: [one for one in found.indexers if one.child.process and one.child.process.poll() is not None],
            what="exit",
        )
        (gone,) = (one.child for one in found.indexers if one.child.process and one.child.process.poll() is not None)
        assert gone.process is not None
        assert gone.process.returncode == 0
        assert "items handed back: 1" in gone.log.read_text()
        work.bucket.delete(*(work.prefix + key for key in work.keys("at-work/")))
        assert found.scheduler is not None
        with ThreadPoolExecutor(1) as pool:
            killed = pool.submit(when_begun, 1, found.scheduler.kill)
            with pytest.raises(StageFailed, match=r"was not back within 2 s: start it again, at the same address"):
                runner(stage, work, EIGHT[1:2], told.append)
            killed.result()
    assert len(told) == 1


def test_threads_with_different_counts_take_turns() -> None:
    """BLAS has one count for the process: whoever wants another waits; within a block another is refused."""
    from threadpoolctl import threadpool_info

    def counts(wanted: int) -> set[int]:
        found = set()
        for _ in range(20):
            with pinned(wanted):
                found |= {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}
        return found

    before = threadpool_info()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(counts, [1, 2, 1, 2])) == [{1}, {2}, {1}, {2}]
    with pinned(1), pytest.raises(ValueError, match="expected 1 as in the block around this one, got 2"), pinned(2):
        pass
    assert threadpool_info() == before
