"""Live requests are compared with exact search: rightly, only in idle time, with an alarm."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import msgpack
import numpy as np
import psutil
import pytest
from answering import probes_of
from matchers import Matcher, matchers
from published import Published, bucket, publish_index, unit_rows
from waiting import eventually, wait_until

from configs.settings import Cache
from matcher import recall
from matcher.beside import LENGTH, compared, frame, work_of
from matcher.client import MatchClient
from matcher.comparing import Comparer
from matcher.decoding import Job
from matcher.drawing import Drawer
from matcher.held import Held
from matcher.loader import Loader
from matcher.messages import Request
from matcher.recall import Live
from pipeline.artifact import Point
from pipeline.search import comparison

EVERY = {"LIM_MATCHER__LIVE_SHARE": "1", "LIM_MATCHER__LIVE_PER_MINUTE": "100000"}


def metrics(matcher: Matcher, label: str) -> dict[str, float]:
    """Metrics of live recall for a label, without their prefix."""
    lines = re.findall(
        rf'^lim_live_(\w+){{index_id="[^"]*",label="{label}",shard="0"}} (\S+)$', matcher.get("/metrics")[1], re.M
    )
    return {name: float(value) for name, value in lines}


def page(matcher: Matcher, label: str) -> dict[str, object]:
    return next(dict(one["live"]) for one in matcher.page("/indexes")["indexes"] if one["label"] == label)


async def asked(url: str, published: Published, count: int) -> float:
    """Ask as many times, one after the other; the mean recall@10 of the answers, by NumPy."""
    probes, label = probes_of(published, count), published.manifest.label
    _, truth = published.truth(probes, 10)
    hits = 0
    async with MatchClient(url) as client:
        for probe, ids in zip(probes, truth, strict=True):
            hits += len({one.id for one in (await client.match(label, probe)).candidates} & set(ids))
    return hits / count / 10


async def test_live_recall_is_that_of_the_answers(redis_url: str, tmp_path: Path) -> None:
    store = bucket(tmp_path / "bucket")
    measured = {"recall_at_10": 0.97}
    poor = publish_index(store, "poor", "poor-1", unit_rows(1), recipe="scan", point=Point(1, 10), quality=measured)
    good = publish_index(store, "good", "good-1", unit_rows(2), recipe="scan", quality=measured)
    exact = publish_index(store, "exact", "exact-1", unit_rows(3), quality={"recall_at_10": 1.0})
    with matchers(tmp_path, redis_url) as group:
        one = await asyncio.to_thread(group.start, "one", **EVERY)
        wanted = {name: await asked(redis_url, index, 30) for name, index in (("poor", poor), ("good", good))}
        await asked(redis_url, exact, 30)
        await eventually(lambda: metrics(one, "poor").get("compared_total") == 30, what="comparing the poor one")
        await eventually(lambda: metrics(one, "good").get("compared_total") == 30, what="comparing the good one")
        found = metrics(one, "poor")
        assert found["recall"] == pytest.approx(wanted["poor"], abs=1e-6)
        assert wanted["poor"] < 0.7
        assert found["recall_expected"] == 0.97
        assert found["recall"] < found["recall_bound"] < 0.92
        assert (found["watched"], found["window_requests"], found["waiting"]) == (1, 30, 0)
        assert found["drift_alarm"] == 1
        assert page(one, "poor")["alarm"] is True
        assert (metrics(one, "good")["recall"], metrics(one, "good")["first_exact_share"]) == (1, 1)
        assert metrics(one, "good")["drift_alarm"] == 0
        assert page(one, "good") == {
            "compared": 30, "of_the_latest": 30, "recall": 1.0, "recall_bound": 1.0, "recall_expected": 0.97,
            "first_is_exact": 1.0, "alarm": False,
        }  # fmt: skip
        assert metrics(one, "exact") == {"watched": 0}
        assert page(one, "exact") == {"off": "the recipe is exact search itself"}
        (beside,) = psutil.Process(one.child.pid).children()
        one.signal(signal.SIGKILL)
        await eventually(lambda: not beside.is_running(), what="the end of the comparing process")
        log = one.child.log.read_text()
    assert len(re.findall(r"WARNING .*poor poor-1: drift: \d+ live requests have a recall@10 of 0\.", log)) == 1
    assert "good-1: drift" not in log


async def test_a_share_of_0_compares_nothing(redis_url: str, tmp_path: Path) -> None:
    scan = publish_index(bucket(tmp_path / "bucket"), "scan", "scan-1", unit_rows(2), recipe="scan")
    with matchers(tmp_path, redis_url) as group:
        one = await asyncio.to_thread(group.start, "one", LIM_MATCHER__LIVE_SHARE="0")
        await asked(redis_url, scan, 20)
        assert metrics(one, "scan") == {"watched": 0, "compared_total": 0, "waiting": 0}
        assert page(one, "scan") == {"off": "matcher.live_share is 0"}


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    """A loaded index of 2,000 rows whose build measured a recall of .95."""
    store = bucket(tmp_path / "bucket")
    quality = {"recall_at_10": 0.95}
    made = publish_index(store, "mine", "one", unit_rows(1, 2_000), recipe="scan", quality=quality)
    loader = Loader(store, Cache(folder=str(tmp_path / "cache")), {})
    found = loader.load(made.manifest)
    yield found
    loader.drop(found)


def job(held: Held, count: int, seed: int = 5) -> Job:
    return Job(held, [Request(b"1-0", "s", b"r", {})] * count, unit_rows(seed, count).astype(np.float32), 16)


def answered(held: Held, drawer: Drawer, count: int, *, right: bool) -> None:
    """A job was searched; all its answers are right, or all are wrong."""
    asked = job(held, count)
    _, numbers = held.index.search(asked.queries, 16)
    drawer.saw(asked, numbers if right else (numbers + 1) % held.index.rows)


async def test_the_alarm_rises_and_falls_with_one_line_each(
    held: Held, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matcher.comparing.REST", 0)
    held.live.recalls, held.live.firsts = (type(held.live.recalls)(maxlen=60) for _ in range(2))
    drawer = Drawer(1.0, 100_000)
    comparer = Comparer(drawer, 0.05, lambda _: True)
    alarms = []
    with caplog.at_level(logging.INFO, "matcher.comparing"):
        for right in (True, False, False, True, True, True):
            answered(held, drawer, 30, right=right)
            await comparer.turn()
            alarms.append(held.live.alarm)
    await comparer.close()
    assert alarms == [False, True, True, True, False, False]
    assert held.live.compared == 180
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert re.match(
        r"mine one: drift: 60 live requests have a recall@10 of 0\.\d+, at most 0\.\d+; the build measured 0\.950, and 0\.05",
        said[0],
    )
    assert said[1].startswith("mine one: drift is over: 60 live requests have a recall@10 of 1.000")


def test_between_two_blocks_it_asks_whether_to_go_on(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "BLOCK_BYTES", 128 * 100)  # twenty blocks
    drawer, asked = Drawer(1.0, 100_000), []
    answered(held, drawer, 10, right=True)
    _, drawn = drawer.longest_waiting() or pytest.fail("nothing waits")
    work = msgpack.unpackb(frame(work_of(held.folder / "vectors.dat", 2_000, drawn))[LENGTH.size :])
    assert compared(work, lambda: asked.append(1)) == [(1.0, True)] * 10
    assert len(asked) == 20


async def test_while_there_is_something_to_do_it_stands_still(held: Held) -> None:
    drawer = Drawer(1.0, 100_000)
    comparer = Comparer(drawer, 0.05, lambda _: True)
    answered(held, drawer, 10, right=True)
    comparer.hold(True)
    await comparer.turn()  # it does not even begin
    assert drawer.pending
    comparer.hold(False)
    turn = asyncio.create_task(comparer.turn())
    await eventually(lambda: comparer._process, what="the process")
    comparer.hold(True)
    process = psutil.Process(comparer._process.pid)
    path = str(held.folder / "vectors.dat")
    await eventually(lambda: path in [file.path for file in process.open_files()], what="the comparison")
    finished, _ = await asyncio.wait({turn}, timeout=0.2)  # comparing takes two milliseconds
    assert not finished
    assert os.sched_getscheduler(process.pid) == os.SCHED_IDLE
    comparer.hold(False)
    await turn
    assert (held.live.compared, held.live.recall) == (10, 1.0)
    assert 0 < comparer.cpu_seconds < 5
    await comparer.close()
    assert not process.is_running()


async def test_a_process_that_dies_is_started_again(
    held: Held, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matcher.comparing.BROKEN_S", 0)
    drawer = Drawer(1.0, 100_000)
    comparer = Comparer(drawer, 0.05, lambda _: True)
    answered(held, drawer, 10, right=True)
    turn = asyncio.create_task(comparer.turn())
    await eventually(lambda: comparer._process, what="the process")
    comparer._process.kill()
    await turn
    assert "The process that compares live requests died" in caplog.text
    answered(held, drawer, 5, right=True)
    await comparer.turn()
    assert held.live.compared == 5
    await comparer.close()


async def test_rows_that_cannot_be_read_are_told(held: Held, caplog: pytest.LogCaptureFixture) -> None:
    drawer = Drawer(1.0, 100_000)
    comparer = Comparer(drawer, 0.05, lambda _: True)
    answered(held, drawer, 5, right=True)
    (held.folder / "vectors.dat").rename(held.folder / "away")
    await comparer.turn()
    (held.folder / "away").rename(held.folder / "vectors.dat")
    assert re.search(r"mine one: live requests are not compared: .*vectors\.dat", caplog.text)
    assert held.live.compared == 0
    await comparer.close()


async def test_an_index_that_serves_no_more_is_left_alone(held: Held) -> None:
    drawer = Drawer(1.0, 100_000)
    comparer = Comparer(drawer, 0.05, lambda _: False)
    answered(held, drawer, 10, right=True)
    await comparer.turn()
    assert not drawer.pending
    assert held.live.compared == 0
    await comparer.close()


def test_the_drawn_share_is_the_wanted_one_and_bounded(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "WAITING", 10_000)
    held.live = Live()
    drawer, numbers = Drawer(0.05, 100_000), np.arange(64 * 16).reshape(64, 16)
    for _ in range(200):
        drawer.saw(job(held, 64), numbers)
    drawn = list(held.live.waiting)
    assert 480 < len(drawn) < 800  # 640 are expected, of 12,800; the deviation is 25
    queries = job(held, 64).queries
    rows = [int(one.numbers[0]) // 16 for one in drawn]
    assert all((one.query == queries[row]).all() for one, row in zip(drawn, rows, strict=True))
    assert len(set(rows)) == 64  # any of a job
    assert {len(one.numbers) for one in drawn} == {10}
    few = Drawer(1.0, 7)
    held.live = Live()
    few.saw(job(held, 64), numbers)
    assert len(held.live.waiting) == 7


def test_the_latest_wait_and_old_ones_give_way(held: Held) -> None:
    drawer = Drawer(1.0, 100_000)
    for seed in range(3):
        drawer.saw(job(held, 20, seed), np.zeros((20, 16), np.int64))
    found, drawn = drawer.longest_waiting() or pytest.fail("nothing waits")
    assert found is held
    assert len(drawn) == recall.WAITING
    assert (drawn[-1].query == job(held, 20, 2).queries[-1]).all()
    assert drawer.longest_waiting() is None
    wait_until(lambda: not held.live.waiting)
