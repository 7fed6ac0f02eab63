"""Builds of the manager on a real cluster: shown on the scheduler's page, going on when the scheduler was lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from distributed import Client
from leaders import drivers, world_of
from nodes import nodes
from waiting import wait_until

from configs.settings import Dask
from pipeline.graph import TOPIC
from pipeline.stages import BUILD

pytestmark = [pytest.mark.drill, pytest.mark.timeout(300)]


async def test_a_driver_finds_its_scheduler_again_and_the_page_is_told(redis_url: str, tmp_path: Path) -> None:
    with nodes(tmp_path, 1) as cluster:
        async with world_of(tmp_path, redis_url) as world:
            world.settings = replace(world.settings, dask=Dask(scheduler=cluster.address, return_timeout_s=60))
            await world.submit(world.wish("short"))
            async with world.leading(builds_at_once=1):
                assert (await world.ended("short")).indexer == cluster.address
                assert told_of(cluster.address, "short") == ["whole"]
                (driver,) = drivers()
                assert cluster.scheduler is not None
                cluster.scheduler.kill()
                await world.submit(world.wish("long", rows=6_000))
                await world.at("long", lambda task: task.status == "indexing")
                cluster.start_scheduler()
                task = await world.ended("long", timeout_s=120)
                # a client that has not noticed yet that its scheduler is gone costs an attempt, waiting for one does not
                assert task.status == "success"
                assert task.attempts <= 2
                assert [one.pid for one in drivers()] == [driver.pid]
                assert told_of(cluster.address, "long") == [stage.name for stage in BUILD]


def told_of(scheduler: str, index_id: str) -> list[str]:
    """Stages of a build that the page on the scheduler was told of, from its beginning to its end."""
    with Client(scheduler, set_as_default=False) as client:

        def events() -> list[dict[str, Any]]:
            return [one for _, one in client.get_events(TOPIC) if one["index_id"] == index_id]

        wait_until(lambda: events() and events()[-1]["event"] == "published", what="the end of the build being told")
        found = events()
    assert found[0]["event"] == "began"
    stages = list(found[0]["stages"])
    assert {one["stage"] for one in found if one["event"] == "ended"} == set(stages)
    assert found[-2]["stage"] == stages[-1]
    return stages
