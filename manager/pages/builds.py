"""Tasks as a person reads them: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from configs.hiding import without_password
from manager.tasks.task import Task
from pipeline.indexer.errors import BUILD_FAILED, CANCELLED, LIST_EMPTY, OUT_OF_MEMORY, PROCESS_DIED

STAGES = (
    "partition", "extract", "census", "sample", "plan", "train", "encode", "assemble", "probes", "truth", "measure",
    "evaluate", "publish",
)  # fmt: skip
"""Of a build, in their order: `pipeline.stages.BUILD`, whose import takes all that builds."""

ADVICE = {
    BUILD_FAILED: "Put right what it names, then try again: items that are done are not done again.",
    PROCESS_DIED: "Look at the manager's log around its end, then try again: items that are done are not done again.",
    LIST_EMPTY: "Look at the source: it must be there, and hold rows that can be indexed. Then try again.",
    CANCELLED: "Try again when it is wanted after all: items that are done are not done again.",
    OUT_OF_MEMORY: "Give the workers more memory, or build with smaller build.partition_rows (see `lim plan`), then try again.",
}
"""What to do about the end of a build, by its code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageView:
    """A stage in the line of all of them; `state` is done, running, stopped or waiting."""

    name: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildView:
    """A task with what is reckoned from it."""

    task: Task
    source: str
    """Without a password."""
    place: str
    """Where in the queue, or when it is tried again."""
    stage_number: int
    stages_all: int
    rows_per_s: float
    """Of the stage while it runs, of the whole build when it is published; 0 = not known."""
    left_s: float | None
    """Seconds that the stage takes still."""
    took_s: float | None
    """From the start of the first attempt to the end, or to now."""
    why: str
    """What went wrong, or why it ended."""
    advice: str
    """What to do about it."""
    stages: tuple[StageView, ...]

    @property
    def items_say(self) -> str:
        """How far the stage is, in words."""
        task = self.task
        return f"{task.finished:,} of {task.items:,} items of {task.stage}" if task.items else ""


def view_of(task: Task, now: float, ahead: int | None = None) -> BuildView:
    """A task at a moment; `ahead` are those before it in the queue."""
    runs, over = task.status == "indexing", not task.is_open
    took = (task.ended if over else now) - task.started if task.started and task.status != "pending" else None
    overall = task.rows / took if task.status == "success" and took else 0.0
    return BuildView(
        task=task,
        source=without_password(task.source),
        place=_place(task, now, ahead),
        stage_number=STAGES.index(task.stage) + 1 if task.stage in STAGES else 0,
        stages_all=len(STAGES),
        rows_per_s=task.rows_per_s if runs else overall,
        left_s=task.eta_s if runs and task.eta_s >= 0 else None,
        took_s=took,
        why=_why(task),
        advice=ADVICE.get(task.error_code, "") if over else "",
        stages=_stages(task),
    )


def views_of(tasks: Sequence[Task], now: float, waiting: Sequence[str] = ()) -> list[BuildView]:
    """Several; `waiting` are ids in the queue, the next one first."""
    ahead = {task_id: number for number, task_id in enumerate(waiting)}
    return [view_of(task, now, ahead.get(task.task_id)) for task in tasks]


def said(view: BuildView) -> str:
    """What a screen reader says when it changes: the state and the stage, no figures that move all the time."""
    task = view.task
    if task.status == "indexing" and not task.cancelling:
        return f"{task.label}: building, {task.stage or 'starting'}"
    words = {"pending": "waiting", "success": "published", "error": "failed", "cancelled": "cancelled"}
    return f"{task.label}: {words.get(task.status, 'ending')}"


def _place(task: Task, now: float, ahead: int | None) -> str:
    if task.status != "pending":
        return ""
    if task.not_before > now:
        return f"tried again in {task.not_before - now:.0f} s"
    return "" if ahead is None else "next" if ahead == 0 else f"behind {ahead:,} other{'s' if ahead > 1 else ''}"


def _why(task: Task) -> str:
    if task.status == "success" or not (task.desc or task.detail):
        return ""
    code = f" ({task.error_code})" if task.error_code else ""
    if task.status in ("error", "cancelled"):
        return f"{task.desc or task.status}{code}{': ' if task.detail else ''}{task.detail}"
    return f"the attempt before: {task.detail or task.desc}"


def _stages(task: Task) -> tuple[StageView, ...]:
    if task.status == "success":
        return tuple(StageView(name=name, state="done") for name in STAGES)
    at = STAGES.index(task.stage) if task.stage in STAGES else -1
    here = "running" if task.status == "indexing" else "stopped"
    if task.status == "pending":
        at = -1
    return tuple(
        StageView(name=name, state="done" if number < at else here if number == at else "waiting")
        for number, name in enumerate(STAGES)
    )
