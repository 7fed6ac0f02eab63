"""Drivers of builds: how they end with their manager, what ends of builds mean, how often they tell."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from leaders import SLOW, world_of
from waiting import wait_until

from configs.errors import ConfigError, LimError
from manager.builds.attempt import priority
from manager.builds.outcomes import MOST_CHARACTERS, failure
from manager.builds.process import Driver
from manager.builds.telling import EVERY_S, Telling
from manager.builds.wire import Ended, Job, Lease, Told
from manager.leading.lease import now
from manager.tasks.task import Task
from pipeline.artifact import FenceTooOld, StoreBusy, StoreFull
from pipeline.errors import IndexRefused, NothingToIndex, PlanImpossible, ReadersTooOld, StageFailed
from pipeline.indexer.errors import BUILD_FAILED, LIST_EMPTY, OUT_OF_MEMORY, PROCESS_DIED
from pipeline.order import Order
from pipeline.sources.errors import SourceBusy, SourceChanged, SourceMismatch, SourceMissing
from pipeline.stage import Done


async def test_a_driver_outlives_neither_the_lease_nor_the_manager(redis_url: str, tmp_path: Path) -> None:
    """A manager that is stopped, not dead, renews nothing: its drivers end although nobody ends them."""
    async with world_of(tmp_path, redis_url) as world:
        settings = replace(world.settings, manager=replace(world.settings.manager, whole_rows=0))
        driver = await Driver.start(settings, Lease(now() + 60))
        driver.say(Job(Order(world.list("people"), "people", index_id="one"), SLOW))
        told = await asyncio.wait_for(driver.heard(), 60)
        assert isinstance(told, Told)
        until = now() + 1.0
        driver.say(Lease(until))
        while not isinstance(ended := await asyncio.wait_for(driver.heard(), 30), Ended):
            pass
        assert until < now()
        assert (ended.error_code, ended.again) == (PROCESS_DIED, True)
        assert "signal 9" in ended.detail
        await driver.end()


LEADER = """
import asyncio, os, sys
from configs.settings import Dask, Settings
from manager.builds.process import Driver
from manager.builds.wire import Lease
from manager.leading.lease import now
from dataclasses import replace

async def main():
    driver = await Driver.start(replace(Settings(), dask=Dask(scheduler="serial")), Lease(now() + 60))
    print(driver.process.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_driver_dies_with_its_manager() -> None:
    leader = subprocess.Popen([sys.executable, "-c", LEADER], stdout=subprocess.PIPE)
    assert leader.stdout is not None
    with leader, leader.stdout:
        driver = psutil.Process(int(leader.stdout.readline()))
        leader.kill()
    wait_until(lambda: not driver.is_running() or driver.status() == psutil.STATUS_ZOMBIE, what="the end of the driver")


@pytest.mark.parametrize(
    ("error", "code", "again"),
    [
        (NothingToIndex("it is empty"), LIST_EMPTY, False), (SourceMissing("nothing there"), LIST_EMPTY, False),
        (IndexRefused("misses its target"), BUILD_FAILED, False), (PlanImpossible("too many"), BUILD_FAILED, False),
        (ReadersTooOld("update"), BUILD_FAILED, False), (ConfigError("build.x"), BUILD_FAILED, False),
        (SourceMismatch("other dim"), BUILD_FAILED, False), (SourceBusy("in a while"), BUILD_FAILED, True),
        (SourceChanged("replaced"), BUILD_FAILED, True), (StoreBusy("slow down"), BUILD_FAILED, True),
        (StoreFull("full"), BUILD_FAILED, True), (StageFailed("no workers"), BUILD_FAILED, True),
        (ConnectionResetError("lost"), BUILD_FAILED, True), (MemoryError("no more"), OUT_OF_MEMORY, True),
        (KeyError("ours"), BUILD_FAILED, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)  # fmt: skip
def test_the_end_of_a_build_says_whether_another_attempt_may_help(error: Exception, code: int, again: bool) -> None:
    ended = failure(error, "people")
    assert (ended.error_code, ended.again, ended.stale) == (code, again, False)
    assert str(error).strip("'") in ended.detail
    assert isinstance(error, LimError) or type(error).__name__ in ended.detail


def test_the_reason_is_short_and_without_passwords_and_a_newer_leader_is_no_failure() -> None:
    ended = failure(StageFailed("x" * 10_000 + " s3://me:secret@there"), "people")
    assert len(ended.detail) == MOST_CHARACTERS
    assert "secret" not in failure(StageFailed("s3://me:secret@there"), "people").detail
    assert failure(FenceTooOld("expected 8"), "people").stale


def test_progress_is_told_twice_a_second_at_most_and_the_last_of_it_always() -> None:
    told: list[tuple[float, Told]] = []
    telling = Telling(lambda one: told.append((time.monotonic(), one)))
    telling.started("truth", 200, 100)
    until = time.monotonic() + 3 * EVERY_S
    done = 0
    while time.monotonic() < until and done < 99:
        telling.item("truth", Done("x", 1_000, 0.01))
        done += 1
        time.sleep(0.01)
    wait_until(lambda: bool(told) and told[-1][1].finished == 100 + done, what="the last item being told")
    moments = [when for when, _ in told]
    assert all(later - sooner > 0.9 * EVERY_S for sooner, later in pairwise(moments))
    state = told[-1][1]
    assert (state.stage, state.items) == ("truth", 200)
    assert state.rows_per_s > 0
    assert state.eta_s > 0
    telling.started("measure", 1, 0)
    telling.over()
    count = len(told)
    began = time.monotonic()
    while time.monotonic() < began + 1.5 * EVERY_S:
        assert len(told) == count, "what has ended is not told of"
        time.sleep(0.05)


def test_items_of_older_builds_go_first_and_of_more_urgent_ones_before_all() -> None:
    old, new = (Task(task_id="t", label="a", source="s", created=when) for when in (1_000.0, 2_000.5))
    urgent = replace(new, priority=3)
    assert priority(urgent) > priority(old) > priority(new) > priority(replace(old, priority=-1))
    assert abs(priority(replace(old, priority=1_000_000_000))) < 2**63
