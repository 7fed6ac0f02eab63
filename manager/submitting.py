"""Turns the wish for an index into a task: checked, its source looked at, its content known."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

from configs.hiding import without_password
from configs.settings import Settings
from manager.checking import checked
from manager.errors import BadRequest, TaskError, Unavailable
from manager.tasks.task import Task, content_of
from pipeline.indexer.errors import DESCRIPTIONS, LIST_EMPTY
from pipeline.order import Order, listed
from pipeline.sources.errors import SourceBusy, SourceError, SourceMissing

LOOK_S = 30.0
"""Longest look at a source."""

_LOOKING = ThreadPoolExecutor(8, "looking")
"""Apart from the loop's own threads, so that a store that does not answer delays submissions alone."""


class Queue(Protocol):
    """What takes tasks: `manager.tasks.tasks.Tasks`."""

    async def submit(self, task: Task, *, again: bool = False) -> Task:
        """Raises TaskExists, AlreadyIndexed, IdTaken, Unavailable."""
        ...


class Parts(Protocol):
    """What a submission needs of the manager."""

    @property
    def settings(self) -> Settings:
        """Those in force."""
        ...

    @property
    def tasks(self) -> Queue:
        """Where tasks go."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What somebody wishes to have indexed."""

    label: str
    source: str = ""
    """Empty = where source.template says."""
    probes: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    """Settings of this build over those in force, as texts: `build.recipe` → `scan`."""
    priority: int = 0
    task_id: str = ""
    """Empty = a new one.  A repeat with the same id is harmless."""
    again: bool = False
    """Build even what the newest index holds already."""
    request_id: str = ""
    submitted_by: str = "api"


class NothingThere(TaskError):
    """The source has no row, or cannot be read, so that nothing is queued."""

    error_code = LIST_EMPTY
    desc = DESCRIPTIONS[LIST_EMPTY]
    status = 422


class CannotBeRead(TaskError):
    """What is at the source is not what can be indexed."""

    error_code = BadRequest.error_code
    desc = BadRequest.desc
    status = 422


async def submit(parts: Parts, wanted: Submission) -> Task:
    """The task that is queued, once Redis has it; a repeat with the same task id and content returns the same task.

    Raises Unfit for fields that cannot be, NothingThere or CannotBeRead for a source, Unavailable, and what
    `Tasks.submit` does: TaskExists, AlreadyIndexed, IdTaken.
    """
    settings = checked(wanted, parts.settings)
    source = wanted.source or settings.source.template.replace("{label}", wanted.label)
    rows, fingerprint = await looked_at(Order(source, wanted.label, wanted.probes), settings)
    task = Task(
        task_id=wanted.task_id or str(uuid.uuid4()),
        label=wanted.label,
        source=source,
        probes=wanted.probes,
        options=dict(wanted.options),
        priority=wanted.priority,
        fingerprint=fingerprint,
        rows=rows,
        request_id=wanted.request_id,
        submitted_by=wanted.submitted_by,
    )
    return await parts.tasks.submit(replace(task, content=content_of(task)), again=wanted.again)


async def looked_at(order: Order, settings: Settings) -> tuple[int, str]:
    """Rows and fingerprint of what the build would read; the look is taken in a thread.

    Raises NothingThere, CannotBeRead or Unavailable.
    """
    loop = asyncio.get_running_loop()
    try:
        listing, fingerprint = await asyncio.wait_for(
            loop.run_in_executor(_LOOKING, listed, order, settings), timeout=LOOK_S
        )
    except TimeoutError:
        raise Unavailable(
            f"source: expected a listing of {without_password(order.source)} within {LOOK_S:g} s, got none: is its store up?"
        ) from None
    except SourceMissing as error:
        raise NothingThere(_named(error)) from error
    except SourceBusy as error:
        raise Unavailable(_named(error)) from error
    except SourceError as error:
        raise CannotBeRead(_named(error)) from error
    return listing.rows, fingerprint


def _named(error: SourceError) -> str:
    """What went wrong with which field: the message names probes and calibration itself."""
    said = without_password(str(error))
    return said if said.startswith(("probes: ", "calibration: ")) else f"source: {said}"
