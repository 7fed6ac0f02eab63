"""Builds of the manager: what becomes of tasks whose builds end well, badly, not at all."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from leaders import ROWS, SLOW, World, drivers, world_of
from waiting import eventually

from manager.errors import StaleLeader
from pipeline.artifact import index_prefix, open_store, read_head, take_fence
from pipeline.indexer.errors import BUILD_FAILED, CANCELLED, LIST_EMPTY, PROCESS_DIED


@pytest.fixture
async def world(redis_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(tmp_path, redis_url) as found:
        yield found


async def test_tasks_become_indexes_whose_id_is_the_tasks(world: World) -> None:
    await world.submit(*(world.wish(f"t{number}", f"list{number}") for number in range(3)))
    async with world.leading(fence=4):
        done = [await world.ended(f"t{number}") for number in range(3)]
        assert len(drivers()) == 2, "one for each build at once, kept"
    assert [task.status for task in done] == ["success"] * 3
    store = open_store(world.settings.storage.bucket)
    for task in done:
        head, _ = read_head(store, task.label)
        assert (head.index_id, head.fences["build"]) == (task.task_id, 4)
        assert (task.rows, task.attempts, task.indexer) == (ROWS, 1, "http://me:5190")
        assert len(task.digest) == 64
        report = json.loads(store.read(index_prefix(task.label, task.task_id) + "report.json"))
        assert report["stages"].keys() >= {"partition", "truth", "measure"}, "times of stages, in one item too"
    assert not store.keys("work/")


async def test_what_no_attempt_helps_fails_at_once_and_what_one_may_help_is_tried_again(world: World) -> None:
    await world.submit(
        world.wish("empty", "a", rows=0),
        world.wish("refused", "b", options={"build.recipe": "scan", "quality.recall": "1", "build.rerank": "int8"}),
        world.wish("option", "c", options={"build.nonsense": "1"}),
        world.wish("damaged", "d", source=world.damaged("damaged")),
        world.wish("good", "e"),
    )
    async with world.leading(builds_at_once=1, attempts=2):
        done = {name: await world.ended(name) for name in ("empty", "refused", "option", "damaged", "good")}
        assert len(drivers()) == 1
    assert {name: (task.status, task.error_code, task.attempts) for name, task in done.items()} == {
        "empty": ("error", LIST_EMPTY, 1), "refused": ("error", BUILD_FAILED, 1), "option": ("error", BUILD_FAILED, 1),
        "damaged": ("error", BUILD_FAILED, 2), "good": ("success", 0, 1),
    }  # fmt: skip
    assert "build.nonsense" in done["option"].detail
    assert done["refused"].detail.endswith("report.html")
    report = done["refused"].detail.rpartition("the report is at ")[2]
    assert open_store(world.settings.storage.bucket).read(report).startswith(b"<!")


async def test_a_build_is_cancelled_in_a_moment_and_the_next_one_runs(world: World) -> None:
    await world.submit(world.wish("long", options=SLOW), world.wish("next"))
    async with world.leading(builds_at_once=1):
        task = await world.at("long", lambda one: one.stage != "")
        assert (task.status, task.stage, task.items) == ("indexing", "whole", 1)
        asked = time.monotonic()
        await world.tasks.cancel("long")
        task = await world.ended("long", timeout_s=10)
        assert time.monotonic() - asked < 2
        assert (task.status, task.error_code, task.cancelling) == ("cancelled", CANCELLED, False)
        assert (await world.ended("next")).status == "success"


async def test_a_driver_that_dies_costs_an_attempt_and_so_does_a_build_that_takes_too_long(world: World) -> None:
    await world.submit(world.wish("killed", "a", options=SLOW))
    async with world.leading(builds_at_once=1):
        await world.at("killed", lambda one: one.stage != "")
        drivers()[0].kill()
        task = await world.at("killed", lambda one: one.error_code != 0)
        assert (task.error_code, task.attempts) == (PROCESS_DIED, 1)
        assert "signal 9" in task.detail
        task = await world.ended("killed")
        assert (task.status, task.attempts, task.error_code) == ("success", 2, 0)
        await world.submit(world.wish("endless", "b", options=SLOW))
    async with world.leading(fence=2, builds_at_once=1, build_timeout_s=0.5, attempts=1):
        task = await world.ended("endless")
        assert (task.status, task.error_code) == ("error", BUILD_FAILED)
        assert "manager.build_timeout_s" in task.detail


async def test_the_next_leader_takes_over_what_was_being_built(world: World) -> None:
    await world.submit(world.wish("begun", "a", options=SLOW), world.wish("waits", "a", fingerprint="other"))
    async with world.leading(fence=1, builds_at_once=2):
        await world.at("begun", lambda one: one.stage != "")
        assert (await world.tasks.get("waits")).status == "pending", "one build a label"
    assert not drivers(), "the end of the lead is the end of its drivers"
    assert (await world.tasks.get("begun")).status == "indexing"
    await world.tasks.cancel("begun")
    async with world.leading(fence=2):
        assert (await world.ended("begun")).status == "cancelled"
        task = await world.ended("waits")
    assert (task.status, task.fence, task.attempts) == ("success", 2, 1)


async def test_an_older_leader_neither_builds_nor_publishes(world: World) -> None:
    await world.submit(world.wish("one"))
    await world.tasks.adopt(7)
    async with world.leading(fence=6) as running:
        with pytest.raises(StaleLeader, match="7 or newer"):
            await asyncio.wait_for(asyncio.shield(running), 20)
    take_fence(open_store(world.settings.storage.bucket), "build", 8)
    async with world.leading(fence=7) as running:
        with pytest.raises(StaleLeader, match="another leader"):
            await asyncio.wait_for(asyncio.shield(running), 60)
    assert (await world.tasks.get("one")).status == "indexing", "it is the new leader's affair"


async def test_a_list_of_several_partitions_is_built_stage_by_stage(world: World) -> None:
    world.settings = replace(
        world.settings, build=replace(world.settings.build, partition_rows=200),
        manager=replace(world.settings.manager, whole_rows=0),
    )  # fmt: skip
    await world.submit(world.wish("parts", options=SLOW))
    seen = set()
    async with world.leading():

        async def over() -> bool:
            task = await world.tasks.get("parts")
            seen.add((task.stage, task.items))
            return not task.is_open

        await eventually(over, timeout_s=60, what="the end of the build")
        assert (await world.tasks.get("parts")).status == "success"
    assert ("truth", 5) in seen
