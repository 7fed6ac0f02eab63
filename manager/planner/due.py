"""Which lists are to be indexed: pure decisions."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from manager.tasks.task import Task
from pipeline.sources.counting import Counted

PLANNER = "planner"
"""Who submits what was planned."""

FIRST_PAUSE_S = 3_600.0
LONGEST_PAUSE_S = 86_400.0
"""Rest of a content whose build failed, doubled each time: a list that misses its target is not built all day long."""


@dataclass(frozen=True, slots=True)
class Due:
    """A list to index.

    Every change is a rebuild, since an index holds all of a list: an update becomes a second kind here as soon as what
    changed can be told row by row.
    """

    label: str
    why: Literal["new", "changed"]
    fingerprint: str


def content(fingerprint: str) -> str:
    """The part of a task's fingerprint that is the list's own: probes and calibration come after it."""
    return fingerprint.partition("+")[0]


def due(lists: Mapping[str, Counted], newest: Mapping[str, str]) -> list[Due]:
    """Lists whose content differs from the `newest` index's, by label."""
    found = []
    for label, counted in sorted(lists.items()):
        held = newest.get(label)
        if held is None:
            found.append(Due(label, "new", counted.fingerprint))
        elif not counted.fingerprint or content(held) != counted.fingerprint:
            found.append(Due(label, "changed", counted.fingerprint))
    return found


def resting(one: Due, before: Iterable[Task], now: float | None = None) -> str:
    """Why a list is left in peace for now, by the tasks that this planner submitted before; empty = it is not.

    What somebody cancelled does not come again until the list changes, what failed comes after a while.
    """
    same = [task for task in before if task.submitted_by == PLANNER and content(task.fingerprint) == one.fingerprint]
    if not same or not one.fingerprint:
        return ""
    last, now = max(same, key=lambda task: task.ended), time.time() if now is None else now
    if last.status == "cancelled":
        return f"task {last.task_id} of the same content was cancelled: retry it, or submit the list"
    failed = [task for task in same if task.status == "error"]
    pause = min(FIRST_PAUSE_S * 2 ** (len(failed) - 1), LONGEST_PAUSE_S)
    if not failed or last.status != "error" or now >= last.ended + pause:
        return ""
    return (
        f"task {last.task_id} of the same content failed ({last.error_code} {last.desc}): it is tried again in "
        f"{last.ended + pause - now:,.0f} s, or when somebody retries it"
    )
