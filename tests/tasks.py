"""Tasks as tests submit them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from configs.settings import Manager
from manager.connecting import connect
from manager.tasks.task import Task, content_of
from manager.tasks.tasks import Tasks


def wished(task_id: str, label: str = "people", **fields: Any) -> Task:
    """A task whose content is another for every id, unless a fingerprint is given."""
    task = Task(task_id=task_id, label=label, **{"source": f"{label}.npy", "fingerprint": task_id, **fields})
    return replace(task, content=content_of(task))


@asynccontextmanager
async def tasks_at(url: str, **section: Any) -> AsyncIterator[Tasks]:
    """Tasks on a connection of their own."""
    async with connect(url) as redis:
        yield Tasks(redis, Manager(**section))
