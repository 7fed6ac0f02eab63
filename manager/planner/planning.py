"""One round of planning: looks at the lists, submits those that are due."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from redis.asyncio import Redis

from configs.errors import LimError
from manager.errors import AlreadyIndexed, TaskExists
from manager.planner.due import PLANNER, Due, due, resting
from manager.planner.lists import Lists
from manager.planner.newest import newest
from manager.planner.rounds import Round
from manager.submitting import Submission
from manager.tasks.finding import Wanted
from manager.tasks.task import Task
from manager.tasks.tasks import Tasks
from pipeline.artifact import Store

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""Lists that are submitted at one time; people's submissions want their sources looked at, too."""

HISTORY = 20
"""Tasks of a list that are looked at for earlier failures."""

PAGE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a planner works with."""

    tasks: Tasks
    redis: Redis
    store: Store
    submit: Callable[[Submission], Awaitable[Task]]
    origin: str
    """The manager's address."""


class Planning:
    """One round; `done` fills while it lasts."""

    def __init__(self, around: Around, lists: Lists, more_than: int) -> None:
        """Lists of `more_than` rows or fewer are left out; −1 = none is."""
        self._around, self._lists, self._more_than = around, lists, more_than
        self.done = Round()

    async def run(self) -> None:
        """What goes wrong with one list is noted and stops no other.

        Raises SourceError or ArtifactError where nothing can be listed, ConfigError, Unavailable.
        """
        found, done = await self._lists.look(), self.done
        done.lists, done.opened = len(found.lists), found.opened
        done.errors |= {label: str(error) for label, error in found.errors.items()}
        large = {label: counted for label, counted in found.lists.items() if counted.rows > self._more_than}
        held, unread = await newest(self._around.redis, self._around.store, large)
        done.errors |= {label: str(error) for label, error in unread.items()}
        wanted = [one for one in due(large, held) if one.label not in unread]
        done.due = len(wanted)
        if not wanted:
            return
        waiting, turn = await self._waiting(), asyncio.Semaphore(AT_ONCE)

        async def each(one: Due) -> None:
            async with turn:
                await self._carry_out(one, waiting)

        async with asyncio.TaskGroup() as group:
            for one in wanted:
                group.create_task(each(one))

    async def _waiting(self) -> dict[tuple[str, str], str]:
        """Ids of tasks that wait, by label and source: what lies there is read when their build begins."""
        found: dict[tuple[str, str], str] = {}
        cursor = ""
        while True:
            page = await self._around.tasks.find(Wanted(statuses=("pending",)), PAGE, cursor)
            found |= {(task.label, task.source): task.task_id for task in page.tasks}
            cursor = page.next
            if not cursor:
                return found

    async def _carry_out(self, one: Due, waiting: dict[tuple[str, str], str]) -> None:
        label, done = one.label, self.done
        try:
            source = self._lists.source(label)
            if task_id := waiting.get((label, source)):
                done.waiting[label] = task_id
            elif why := await self._resting(one):
                done.resting[label] = why
            else:
                task = await self._around.submit(Submission(label=label, source=source, submitted_by=PLANNER))
                done.submitted[label] = task.task_id
                logger.info("%s: its list is %s, %d rows: task %s.", label, one.why, task.rows, task.task_id)
        except TaskExists as error:
            done.waiting[label] = error.task_id
        except AlreadyIndexed:  # since we looked
            done.due -= 1
        except LimError as error:
            done.errors[label] = str(error)
        except Exception as error:  # whatever is wrong with one list, the others are planned
            logger.exception("The list of %r cannot be planned.", label)
            done.errors[label] = f"{type(error).__name__}: {error}"

    async def _resting(self, one: Due) -> str:
        page = await self._around.tasks.find(Wanted(label=one.label), HISTORY)
        return resting(one, page.tasks)
