"""The overview: what needs attention, cluster, queue, labels."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from starlette.responses import Response

from manager.announced import Matcher
from manager.errors import Unavailable
from manager.pages.asking import Asked, Handler
from manager.pages.builds import BuildView, views_of
from manager.pages.cluster import Counts
from manager.pages.notes import Note, capital, notes_of, notes_of_failed, notes_of_workers
from manager.pages.parts import PageParts
from manager.pages.recent import Recent
from manager.parts import Parts
from manager.shelf.rows import Alarm
from manager.tasks.finding import Wanted
from manager.tasks.task import Task

MOST_ALARMS = 100
"""Those of labels that are looked at."""
MOST_FAILED = 20
MOST_BUILDS = 8
FRESH_S = 1.0
"""As often as the page renews itself."""
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


def watching(parts: PageParts) -> Handler:
    """GET /, whose figures everybody shares who looks within FRESH_S."""
    recent = Recent(lambda: gathered(parts), FRESH_S)

    async def show(asked: Asked) -> Response:
        return shown(asked, await recent.get())

    return show


def shown(asked: Asked, seen: Overview) -> Response:
    """The page."""
    said = (
        f"{len(seen.notes)} alarms, {seen.counts.get('indexing', 0)} builds run, {seen.counts.get('pending', 0)} wait"
    )
    return asked.page(
        "overview.html.j2", seen=seen, said=said, at_once=asked.parts.manager.settings.manager.builds_at_once
    )


async def gathered(pages: PageParts) -> Overview:
    """Everything at one moment; what does not answer is an alarm, and the rest is shown all the same."""
    parts, notes = pages.manager, list[Note]()
    workers, alarms, matchers = await asyncio.gather(pages.cluster.counts(), _alarms(parts), _matchers(parts))
    counts, tasks, failed = dict[str, int](), list[BuildView](), list[Task]()
    try:
        counts = await parts.tasks.counts()
        tasks, failed = await _builds(parts), await _failed(parts)
    except Unavailable as error:
        notes.append(Note(text=capital(str(error))))
    notes += [Note(text=capital(one)) for one in parts.health.alarms()]
    notes += notes_of_workers(workers, counts)
    notes += [*notes_of(alarms, whole=len(alarms) < MOST_ALARMS), *notes_of_failed(failed)]
    return Overview(
        notes=notes, leader=parts.health.leader, counts=counts, workers=workers,
        labels=parts.shelf.count(), matchers=matchers, builds=tasks, now=time.time(),
    )  # fmt: skip


async def _alarms(parts: Parts) -> list[Alarm]:
    try:
        return await parts.shelf.alarms(MOST_ALARMS)
    except Unavailable as error:
        return [Alarm(kind="matchers", text=str(error))]


async def _matchers(parts: Parts) -> tuple[Matcher, ...]:
    try:
        return (await parts.shelf.matchers.look()).matchers
    except Unavailable:
        return ()  # the alarms say so


async def _builds(parts: Parts) -> list[BuildView]:
    tasks = parts.tasks
    running = (await tasks.find(Wanted(statuses=("indexing",)), MOST_BUILDS)).tasks
    waiting = await tasks.waiting(max(1, MOST_BUILDS - len(running)))
    following = (await tasks.find(Wanted(task_ids=tuple(waiting)), len(waiting))).tasks if waiting else []
    turn = {task_id: number for number, task_id in enumerate(waiting)}
    following.sort(key=lambda task: turn[task.task_id])
    return views_of([*sorted(running, key=lambda task: task.started), *following], time.time(), waiting)


async def _failed(parts: Parts) -> list[Task]:
    """Those of late whose label has no newer task that fared better."""
    tasks = parts.tasks
    found = (await tasks.find(Wanted(statuses=("error",), created_from=time.time() - FAILED_S), MOST_FAILED)).tasks
    newest: dict[str, Task] = {}
    for task in found:
        newest.setdefault(task.label, task)
    last = await asyncio.gather(*(tasks.find(Wanted(label=label), 1) for label in newest))
    return [page.tasks[0] for page in last if page.tasks and page.tasks[0].status == "error"]
