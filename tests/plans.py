"""A planner over a real Redis, with lists in a folder or on a real S3 server."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from redis.asyncio import Redis

from configs.settings import Settings, Source, Storage
from manager.connecting import connect
from manager.planner.lists import Lists
from manager.planner.planner import Planner
from manager.planner.planning import Around
from manager.planner.rounds import Round
from manager.submitting import Submission, submit
from manager.tasks.task import Task
from manager.tasks.tasks import Tasks
from pipeline.artifact import Store, open_store
from pipeline.sources.places import Place


@dataclass
class Plans:
    """What tests do with it."""

    settings: Settings
    redis: Redis
    tasks: Tasks
    store: Store

    def put(self, label: str, rows: int, version: int = 1) -> None:
        """Write a list; another version has other bytes."""
        fs, path = Place.of(self.settings.source.template.replace("{label}", label), self.settings.storage).open()
        fs.auto_mkdir = True  # where there are folders
        with fs.open(path, "wb") as stream:
            np.save(stream, np.full((rows, 4), version, np.float32))

    def drop(self, label: str, data: bytes) -> None:
        """Write something else where a list should be."""
        Path(self.settings.source.template.replace("{label}", label)).write_bytes(data)

    def planner(self, **section: Any) -> Planner:
        """One of a manager of its own."""
        settings = replace(self.settings, manager=replace(self.settings.manager, **section))

        async def queue(wanted: Submission) -> Task:
            return await submit(SimpleNamespace(settings=settings, tasks=self.tasks), wanted)

        around = Around(tasks=self.tasks, redis=self.redis, store=self.store, submit=queue, origin="http://here")
        return Planner(settings, around)

    async def plan(self, **section: Any) -> Round:
        """One round of a planner that knows nothing but what Redis and the bucket do."""
        planner = self.planner(**section)
        settings = replace(self.settings, manager=replace(self.settings.manager, **section))
        return await planner.plan(Lists(settings, self.redis))

    async def claim(self) -> Task:
        """The next task, now being built."""
        task = await self.tasks.claim(1, "here")
        assert task is not None
        return task

    async def build(self) -> list[str]:
        """Let everything that waits be built; the labels."""
        built = []
        while task := await self.tasks.claim(1, "here"):
            await self.tasks.succeed(task.task_id, 1, task.rows, "digest")
            built.append(task.label)
        return sorted(built)


@asynccontextmanager
async def plans_at(redis_url: str, folder: Path, root: str = "", **storage: Any) -> AsyncIterator[Plans]:
    """Lists are `{root}/{label}.npy`."""
    source = Source(template=f"{root or folder / 'lists'}/{{label}}.npy")
    settings = Settings(source=source, storage=Storage(**storage))
    settings = replace(settings, manager=replace(settings.manager, lists="dynamic", min_list_rows=10))
    async with connect(redis_url) as redis:
        store = open_store(str(folder / "bucket" / uuid.uuid4().hex))
        yield Plans(settings, redis, Tasks(redis, settings.manager), store)
