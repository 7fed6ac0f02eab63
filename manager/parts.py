"""What a manager consists of, for whatever answers requests or leads."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from configs.settings import Settings
from manager.pages.access import Access
from manager.submitting import Submission, submit

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from manager.health import Health
    from manager.leading.lease import Lease
    from manager.matchers import Matchers
    from manager.shelf.shelf import Shelf
    from manager.tasks.task import Task
    from manager.tasks.tasks import Tasks
    from pipeline.artifact import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One manager's parts, shared by everything that runs on its loop."""

    settings: Settings
    origin: str
    """Its address, as others see it."""
    store: Store
    """The bucket."""
    redis: Redis
    """Of tasks, replies as text."""
    tasks: Tasks
    matchers: Matchers
    """What matchers announce."""
    shelf: Shelf
    """What lies in the bucket."""
    lease: Lease
    """Who leads; `lease.leads()` says whether this one does."""
    health: Health
    access: Access
    """Tokens, with the sessions of browsers."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the service ends, and streams with it."""

    async def problems(self) -> list[str]:
        """Why it cannot do its work now; empty when it can."""
        return ["it is stopping"] if self.stopping.is_set() else self.health.problems()

    async def submit(self, wanted: Submission) -> Task:
        """Queue a build; raises what `manager.submitting.submit` does."""
        return await submit(self, wanted)
