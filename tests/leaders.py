"""A leader's builds for tests: drivers as real processes, tasks in a real Redis, indexes in a folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from tasks import wished
from waiting import eventually

from configs.settings import Build, Dask, Log, Manager, Quality, Settings, Storage
from manager.builds.builds import Builds
from manager.connecting import connect
from manager.matchers import Matchers
from manager.tasks.task import Task
from manager.tasks.tasks import Tasks
from pipeline.generate.faces import Generator

ROWS = 1_000
LEASE_S = 10.0

SLOW = {"quality.mated_probes": "15000"}
"""Options of a build that takes some seconds."""


@dataclass
class World:
    """Lists in a folder, with a leader's parts over them."""

    folder: Path
    tasks: Tasks
    matchers: Matchers
    settings: Settings
    remaining: Callable[[], float] = lambda: LEASE_S

    def list(self, label: str, rows: int = ROWS) -> str:
        """A list of faces; its URL."""
        path = self.folder / f"{label}-{rows}.npy"
        np.save(path, Generator("mixture", 3).chunk(0, rows)[0] if rows else np.zeros((0, 512), np.float32))
        return str(path)

    def damaged(self, label: str) -> str:
        """Half of a list; its URL."""
        path = Path(self.list(label))
        path.write_bytes(path.read_bytes()[:5_000])
        return str(path)

    def wish(self, task_id: str, label: str = "people", rows: int = ROWS, **fields: Any) -> Task:
        """A task of such a list."""
        return wished(task_id, label, **{"source": self.list(label, rows), "rows": rows, **fields})

    @asynccontextmanager
    async def leading(self, fence: int = 1, **manager: Any) -> AsyncIterator[asyncio.Task[None]]:
        """Builds run inside."""
        settings = replace(self.settings, manager=replace(self.settings.manager, **manager))
        builds = Builds(settings, self.tasks, self.matchers, "http://me:5190")
        running = asyncio.create_task(builds.run(fence, self.remaining))
        try:
            yield running
        finally:
            if not running.done():  # else the test has looked how it ended
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running

    async def submit(self, *wishes: Task) -> None:
        """Queue them."""
        for one in wishes:
            await self.tasks.submit(one)

    async def ended(self, task_id: str, *, timeout_s: float = 60.0) -> Task:
        """The task, once it has ended."""

        async def over() -> bool:
            return not (await self.tasks.get(task_id)).is_open

        await eventually(over, timeout_s=timeout_s, what=f"the end of {task_id}")
        return await self.tasks.get(task_id)

    async def at(self, task_id: str, wanted: Callable[[Task], bool]) -> Task:
        """The task, once it is as wanted."""
        found: list[Task] = []

        async def look() -> bool:
            found[:] = [await self.tasks.get(task_id)]
            return wanted(found[0])

        await eventually(look, timeout_s=60, what=f"{task_id} being as wanted")
        return found[0]


def drivers() -> list[psutil.Process]:
    """Those of this process that live."""
    return [one for one in psutil.Process().children() if "manager.builds.driver" in _command(one)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended
        return ""


@asynccontextmanager
async def world_of(folder: Path, redis_url: str) -> AsyncIterator[World]:
    """Everything but a leader; builds are done in the driver's own process."""
    settings = replace(
        Settings(), storage=Storage(bucket=str(folder / "bucket")), dask=Dask(scheduler="serial"), log=Log(level="WARNING"),
        manager=Manager(lookup_period_s=0.1, retry_s=0.2, lease_s=LEASE_S), build=Build(recipe="exact"),
        quality=Quality(mated_probes=100, non_mates=50, added_fnir=0.03),
    )  # fmt: skip
    async with connect(redis_url) as redis, connect(redis_url, text=False) as wire:
        yield World(folder, Tasks(redis, settings.manager), Matchers(wire), settings)
        assert not drivers()
