"""The overview: what needs attention, cluster, queue, labels."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from starlette.responses import Response

from manager.announced import Matcher
from manager.errors import Unavailable
from manager.pages.asking import Asked
from manager.pages.builds import BuildView, views_of
from manager.pages.cluster import Counts
from manager.pages.notes import Note, capital, notes_of, notes_of_failed, notes_of_workers
from manager.shelf.rows import Alarm
from manager.tasks.finding import Wanted
from manager.tasks.task import Task

MOST_ALARMS = 100
"""Those of labels that are looked at."""
MOST_FAILED = 20
MOST_BUILDS = 8
FAILED_S = 86_400.0
"""How long a failed build is something that needs attention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What the page shows."""

    notes: list[Note]
    leader: str
    counts: dict[str, int]
    """Tasks by state."""
    labels: int
    workers: Counts | None
    """None where builds run on workers of their own."""
    matchers: tuple[Matcher, ...]
    builds: list[BuildView]
    """Those that run, then those whose turn is next."""
    now: float


async def show(asked: Asked) -> Response:
    """GET /."""
    seen = await gathered(asked)
    said = (
        f"{len(seen.notes)} alarms, {seen.counts.get('indexing', 0)} builds run, {seen.counts.get('pending', 0)} wait"
    )
    return asked.page(
        "overview.html.j2", seen=seen, said=said, at_once=asked.parts.manager.settings.manager.builds_at_once
    )


async def gathered(asked: Asked) -> Overview:
    """Everything at one moment; what does not answer is an alarm, and the rest is shown all the same."""
    parts, notes = asked.parts.manager, list[Note]()
    workers, alarms, matchers = await asyncio.gather(asked.parts.cluster.counts(), _alarms(asked), _matchers(asked))
    counts, tasks, failed = dict[str, int](), list[BuildView](), list[Task]()
    try:
        counts = await parts.tasks.counts()
        tasks, failed = await _builds(asked), await _failed(asked)
    except Unavailable as error:
        notes.append(Note(text=capital(str(error))))
    notes += [Note(text=capital(one)) for one in parts.health.alarms()]
    notes += notes_of_workers(workers, counts)
    notes += [*notes_of(alarms, whole=len(alarms) < MOST_ALARMS), *notes_of_failed(failed)]
    return Overview(
        notes=notes, leader=parts.health.leader, counts=counts, workers=workers,
        labels=parts.shelf.count(), matchers=matchers, builds=tasks, now=time.time(),
    )  # fmt: skip


async def _alarms(asked: Asked) -> list[Alarm]:
    try:
        return await asked.parts.manager.shelf.alarms(MOST_ALARMS)
    except Unavailable as error:
        return [Alarm(kind="matchers", text=str(error))]


async def _matchers(asked: Asked) -> tuple[Matcher, ...]:
    try:
        return (await asked.parts.manager.shelf.matchers.look()).matchers
    except Unavailable:
        return ()  # the alarms say so


async def _builds(asked: Asked) -> list[BuildView]:
    tasks = asked.parts.manager.tasks
    running = (await tasks.find(Wanted(statuses=("indexing",)), MOST_BUILDS)).tasks
    waiting = await tasks.waiting(max(1, MOST_BUILDS - len(running)))
    following = (await tasks.find(Wanted(task_ids=tuple(waiting)), len(waiting))).tasks if waiting else []
    turn = {task_id: number for number, task_id in enumerate(waiting)}
    following.sort(key=lambda task: turn[task.task_id])
    return views_of([*sorted(running, key=lambda task: task.started), *following], time.time(), waiting)


async def _failed(asked: Asked) -> list[Task]:
    """Those of late whose label has no newer task that fared better."""
    tasks = asked.parts.manager.tasks
    found = (await tasks.find(Wanted(statuses=("error",), created_from=time.time() - FAILED_S), MOST_FAILED)).tasks
    newest: dict[str, Task] = {}
    for task in found:
        newest.setdefault(task.label, task)
    last = await asyncio.gather(*(tasks.find(Wanted(label=label), 1) for label in newest))
    return [page.tasks[0] for page in last if page.tasks and page.tasks[0].status == "error"]
