"""Handlers of the pages of builds: the queue with the history, one build, what may be done with it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from starlette.responses import Response

from manager.errors import BadRequest, TaskExists
from manager.pages.asking import Asked
from manager.pages.builds import said, view_of, views_of
from manager.tasks.finding import Wanted
from manager.tasks.task import OPEN, STATUSES, Task

PAGE = 50
MOST_WAITING = 200
"""Places in the queue that are counted out."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What the form above the history asks for, as it was typed."""

    label: str = ""
    status: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filter:
        """Of the address."""
        return cls(*(query.get(name, "").strip() for name in ("label", "status", "since", "until")))

    @property
    def is_set(self) -> bool:
        """Whether it leaves anything out."""
        return any((self.label, self.status, self.since, self.until))

    def wanted(self) -> tuple[Wanted, dict[str, str]]:
        """What to look for, with what is wrong by field; a wrong field leaves nothing out."""
        errors: dict[str, str] = {}
        statuses = tuple(one for one in STATUSES if one == self.status)
        if self.status and not statuses:
            errors["status"] = f"state: expected one of {', '.join(STATUSES)}, got {self.status!r}"
        since, until = (_day(name, text, errors) for name, text in (("since", self.since), ("until", self.until)))
        before = until + 86_400 if until else 0.0
        if not self.is_set:  # what is open is in the queue above
            statuses = tuple(one for one in STATUSES if one not in OPEN)
        return Wanted(label=self.label, statuses=statuses, created_from=since, created_before=before), errors

    def way(self, cursor: str) -> str:
        """The address of a page of it."""
        given = {"label": self.label, "status": self.status, "since": self.since, "until": self.until, "cursor": cursor}
        return "builds?" + urlencode({name: value for name, value in given.items() if value})


async def builds(asked: Asked) -> Response:
    """GET /builds."""
    tasks, now, cursor = asked.parts.manager.tasks, time.time(), asked.query("cursor")
    chosen = Filter.of(asked.request.query_params)
    wanted, errors = chosen.wanted()
    found = await tasks.find(wanted, PAGE, cursor)
    waiting = await tasks.waiting(MOST_WAITING)
    running = [] if chosen.is_set or cursor else (await tasks.find(Wanted(statuses=("indexing",)), PAGE)).tasks
    counts = await tasks.counts()
    return asked.page(
        "builds.html.j2", chosen=chosen, errors=errors, statuses=STATUSES, counts=counts, cursor=cursor,
        queue=views_of(await _queue(asked, running, waiting) if not (chosen.is_set or cursor) else [], now, waiting),
        builds=views_of(found.tasks, now, waiting), way=chosen.way(cursor),
        after=asked.frame.root + chosen.way(found.next) if found.next else "",
        said=f"{counts['indexing']} builds run, {counts['pending']} wait, {counts['error']} failed",
    )  # fmt: skip


async def _queue(asked: Asked, running: list[Task], waiting: list[str]) -> list[Task]:
    """What runs, the oldest first, then what is next."""
    first = waiting[:PAGE]
    turn = {task_id: number for number, task_id in enumerate(first)}
    following = (await asked.parts.manager.tasks.find(Wanted(task_ids=tuple(first)), PAGE)).tasks if first else []
    return [*sorted(running, key=lambda task: task.started), *sorted(following, key=lambda task: turn[task.task_id])]


async def build(asked: Asked) -> Response:
    """GET /builds/{task_id}."""
    return await _page(asked, 200, {})


async def cancel(asked: Asked) -> Response:
    """POST /builds/{task_id}/cancel."""
    task = await asked.parts.manager.tasks.cancel(_id(asked))
    return asked.go(f"builds/{task.task_id}")


async def retry(asked: Asked) -> Response:
    """POST /builds/{task_id}/retry."""
    try:
        task = await asked.parts.manager.tasks.retry(_id(asked))
    except TaskExists as error:
        return await _page(
            asked, 409, {"retry": f"the same content waits or is being built already, as {error.task_id}"}
        )
    return asked.go(f"builds/{task.task_id}")


async def prioritise(asked: Asked) -> Response:
    """POST /builds/{task_id}/priority."""
    given = asked.fields.get("priority", "").strip()
    try:
        await asked.parts.manager.tasks.prioritise(_id(asked), int(given))
    except ValueError:
        return await _page(
            asked, 422, {"priority": f"priority: expected a whole number, higher ones go first, got {given!r}"}
        )
    except BadRequest as error:
        return await _page(asked, 422, {"priority": str(error)})
    return asked.go(f"builds/{_id(asked)}")


async def _page(asked: Asked, status: int, errors: dict[str, str]) -> Response:
    task = await asked.parts.manager.tasks.get(_id(asked))
    waiting = await asked.parts.manager.tasks.waiting(MOST_WAITING) if task.status == "pending" else []
    ahead = waiting.index(task.task_id) if task.task_id in waiting else None
    view = view_of(task, time.time(), ahead)
    return asked.page("build.html.j2", status=status, view=view, task=task, errors=errors, said=said(view))


def _id(asked: Asked) -> str:
    return str(asked.request.path_params["task_id"])


def _day(name: str, text: str, errors: dict[str, str]) -> float:
    try:
        return datetime.strptime(text, "%Y-%m-%d").astimezone().timestamp() if text else 0.0
    except ValueError:
        errors[name] = f"expected a day as 2024-05-31, got {text!r}"
        return 0.0
