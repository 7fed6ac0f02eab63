"""Keeps the bucket from growing for ever: looks now and again while its manager leads, or once for `lim gc`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from configs.settings import Manager
from manager.errors import TaskError, Unavailable
from manager.matchers import Matchers
from manager.retention import inventory
from manager.retention.facts import Circumstances, Decision, Thing
from manager.retention.removing import remove
from manager.retention.rules import decide
from manager.shelf.moving import users
from manager.tasks.finding import Wanted
from manager.tasks.tasks import Tasks
from pipeline.artifact import ArtifactError, FenceTooOld, Store, StoreUnavailable
from pipeline.artifact.fences import BUILD, check_fence

logger = logging.getLogger(__name__)

SOON_S = 60.0
"""A new leader looks after so many seconds, or after the period where that is shorter."""

Got = TypeVar("Got")


class Retention:
    """Decisions come from `rules`; each is looked at again just before it is carried out."""

    def __init__(self, section: Manager, store: Store, tasks: Tasks, matchers: Matchers) -> None:
        self._section = section
        self._store = store
        self._tasks = tasks
        self._matchers = matchers

    async def run(self, fence: int) -> None:
        """Look every `retention_period_s` until cancelled, or until there is a newer leader; 0 = never."""
        period_s = self._section.retention_period_s
        if not period_s:
            return
        await asyncio.sleep(min(period_s, SOON_S))
        while True:
            try:
                await self._look(fence)
            except FenceTooOld as error:
                logger.warning("Nothing is removed any more: %s.", error)
                return
            except (TaskError, ArtifactError) as error:
                logger.warning("Not everything that is old was removed, the next look goes on: %s.", error)
            await asyncio.sleep(period_s)

    async def _look(self, fence: int) -> None:
        made = await self.decisions(now=await self._aside(inventory.clock, self._store))
        for decision in made:
            if decision.goes:
                await self._aside(check_fence, self._store, BUILD, fence)
                await self.carry_out(decision)

    async def decisions(self, now: float, label: str = "", *, explain: bool = False) -> list[Decision]:
        """What goes and what stays, of one label or of all.  `now` is the store's clock, seconds since 1970.

        `explain` reads every label's head, for the reasons of what would stay in any case.  Raises Unavailable.
        """
        keep = self._section.keep
        # what is there first: whoever begins to need something of it meanwhile is seen by the looks that follow
        things: list[Thing] = await self._aside(inventory.things, self._store, keep, label)
        labels = _labels(things, 0 if explain else keep)
        heads = await self._aside(inventory.heads, self._store, labels)
        seen, open_tasks = await self._matchers.look(0.0), await self._open_tasks()
        known = Circumstances(
            now=now, heads=heads, used={index: seen.uses(*index) for index in seen.holders},
            asked=await self._matchers.asked(labels), open_tasks=open_tasks, keep=keep, keep_s=self._section.keep_s,
            orphan_s=self._section.orphan_s,
        )  # fmt: skip
        return decide(things, known)

    async def carry_out(self, decision: Decision) -> Decision:
        """Remove what is to go, unless somebody needs it by now; returns what was done.  Raises Unavailable."""
        thing = decision.thing
        why = await self._aside(remove, self._store, thing, await self._needed_by(thing))
        if why:
            logger.info("%s stays: %s.", thing.prefix, why)
            return Decision(thing, False, why)
        logger.info(
            "Removed %s, %d objects of %d bytes: %s.", thing.prefix, len(thing.keys), thing.nbytes, decision.why
        )
        return decision

    async def _needed_by(self, thing: Thing) -> Sequence[str]:
        """Who says in Redis that a thing is needed, asked now."""
        if thing.kind == "segment":
            return ()
        tasks = [f"its task, which is {status}" for status in await self._open(thing.index_id)]
        if thing.kind != "version":
            return tasks
        seen, asked = await self._matchers.look(0.0), await self._matchers.asked([thing.label])
        return [*users(seen, thing.label, thing.index_id, asked.get(thing.label, "")), *tasks]

    async def _open(self, task_id: str) -> list[str]:
        if not task_id:
            return []
        page = await self._tasks.find(Wanted(task_ids=(task_id,)), 1)
        return [one.status for one in page.tasks if one.is_open]

    async def _open_tasks(self) -> dict[str, str]:
        found: dict[str, str] = {}
        cursor = ""
        while True:
            page = await self._tasks.find(Wanted(statuses=("pending", "indexing")), 500, cursor)
            found |= {task.task_id: task.status for task in page.tasks}
            if not page.next:
                return found
            cursor = page.next

    async def _aside(self, work: Callable[..., Got], *args: object) -> Got:
        try:
            return await asyncio.to_thread(work, *args)
        except StoreUnavailable as error:
            raise Unavailable(str(error)) from error


def _labels(things: Sequence[Thing], more_than: int) -> list[str]:
    """Labels whose head has a say: of more versions than are kept, or of segments."""
    versions: dict[str, int] = {}
    for thing in things:
        if thing.kind in ("version", "segment") and thing.label:
            versions[thing.label] = versions.get(thing.label, 0) + (more_than + 1 if thing.kind == "segment" else 1)
    return sorted(label for label, count in versions.items() if count > more_than)
