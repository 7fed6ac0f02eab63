"""A bar of probes answered, with their rate, where standard error is a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

EVERY_S = 0.2
"""Seconds between looks of the bar at the count: it must not cost what it shows."""


class Bar:
    """Counts what is done."""

    def __init__(self, what: str, total: int) -> None:
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(), TimeRemainingColumn(),
        )  # fmt: skip
        self._progress = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
        self._task = self._progress.add_task(what, total=total, rate="")
        self.done = 0
        self.began = self._next = time.monotonic()

    def __enter__(self) -> Bar:
        self._progress.start()
        self.began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show(time.monotonic())
        self._progress.stop()

    def advance(self) -> None:
        """One more."""
        self.done += 1
        now = time.monotonic()
        if now >= self._next:
            self._show(now)

    def _show(self, now: float) -> None:
        self._next = now + EVERY_S
        rate = self.done / max(now - self.began, 1e-9)
        self._progress.update(self._task, completed=self.done, rate=f"{rate:,.0f}/s")
