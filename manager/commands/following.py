"""Waits for tasks to end, with a bar for each on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from manager.remote import Json, Remote, part, patiently
from manager.tasks.task import OPEN

LOOK_S = 0.5
PATIENCE_S = 60.0
"""How long managers may be away while we wait."""

DONE, FAILED, CANCELLED, TIMED_OUT = 0, 3, 4, 5
"""Exit codes: every task ended in success; one in error; one was cancelled; one is open still when the time is over."""

EXITS = (
    "Exit codes: 0 done, 1 not done, 2 wrong usage, 3 a task ended in error, 4 it was cancelled, 5 --timeout is over."
)


class Shown(Protocol):
    """What shows tasks that change."""

    def show(self, task: Json) -> None:
        """Show how far it is."""
        ...


def follow(remote: Remote, task_ids: Sequence[str], timeout_s: float = 0.0) -> list[Json]:
    """The tasks as they are once all have ended or the time is over; 0 = however long that takes.

    Raises RemoteError for one that is not known, or when managers are away for PATIENCE_S.
    """
    until = time.monotonic() + timeout_s if timeout_s else float("inf")
    found: dict[str, Json] = {}
    with _shown() as shown:
        while True:
            for task_id in task_ids:
                if task_id not in found or is_open(found[task_id]):
                    found[task_id] = _asked(remote, task_id)
                    shown.show(found[task_id])
            tasks = [found[task_id] for task_id in task_ids]
            if not any(map(is_open, tasks)) or time.monotonic() >= until:
                return tasks
            try:
                time.sleep(min(LOOK_S, max(0.0, until - time.monotonic())))
            except KeyboardInterrupt:
                click.echo(f"they go on by themselves: `lim tasks {' '.join(task_ids)} --wait` looks again", err=True)
                raise


def _asked(remote: Remote, task_id: str) -> Json:
    return dict(patiently(lambda: remote.call("GET", f"/tasks/{part(task_id)}"), PATIENCE_S))


def is_open(task: Json) -> bool:
    """Whether it waits or is being built."""
    return task["status"] in OPEN


def exit_code(tasks: Sequence[Json]) -> int:
    """What a command that waited for them ends with: the first of what went wrong."""
    statuses = {task["status"] for task in tasks}
    if "error" in statuses:
        return FAILED
    if "cancelled" in statuses:
        return CANCELLED
    return TIMED_OUT if statuses & OPEN else DONE


def outcome(task: Json) -> str:
    """How a task ended or where it is, in a sentence."""
    said = f"{task['label']}: task {task['task_id']} "
    error = task["error"]
    if task["status"] == "success":
        return said + f"is done: {task['rows']:,} rows, {task['digest'][:12]}"
    if task["status"] == "error" and error:
        return said + f"ended in error {error['error_code']} ({error['desc']}): {error['detail']}"
    words = {"cancelled": "was cancelled", "pending": "waits", "indexing": "is being built"}
    return said + words.get(task["status"], str(task["status"]))


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._of: dict[str, TaskID] = {}

    def show(self, task: Json) -> None:
        progress = task["progress"] or {}
        if task["task_id"] not in self._of:
            self._of[task["task_id"]] = self._bars.add_task("", total=None, step="", speed="")
        bar, eta = self._of[task["task_id"]], progress.get("eta_s")
        speed = f"{progress['rows_per_s']:,.0f} rows/s" if progress.get("rows_per_s") else ""
        items = progress.get("items") or (0 if is_open(task) else 1)
        self._bars.update(
            bar, description=escape(task["label"]), total=items or None, step=_step(task),
            completed=progress.get("finished", 0) if is_open(task) else items,
            speed=speed + (f", {eta:,.0f} s left" if eta is not None else ""),
        )  # fmt: skip
        if not is_open(task):
            self._bars.stop_task(bar)


class _Lines:
    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def show(self, task: Json) -> None:
        step = _step(task)
        if self._said.get(task["task_id"]) != step:
            self._said[task["task_id"]] = step
            click.echo(f"{task['label']}: {step}", err=True)


def _step(task: Json) -> str:
    progress = task["progress"]
    if progress and progress["stage"]:
        return str(progress["stage"])
    again = f", attempt {task['attempts'] + 1} follows" if task["status"] == "pending" and task["error"] else ""
    return str(task["status"]) + again


@contextmanager
def _shown() -> Iterator[Shown]:
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.fields[step]:<10}"), BarColumn(),
        MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield _Bars(bars)
