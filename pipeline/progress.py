"""Shows a build: a bar per stage on a terminal, a line per stage elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from pipeline.stage import Done

logger = logging.getLogger(__name__)


class Lines:
    """One log line per stage, and one every few seconds while it lasts."""

    every_s = 5.0

    def __init__(self) -> None:
        self._items = self._done = self._rows = 0
        self._began = self._said = 0.0

    def started(self, stage: str, items: int, finished: int) -> None:
        """Remember where the stage begins."""
        self._items, self._done, self._rows = items, finished, 0
        self._began = self._said = time.monotonic()

    def item(self, stage: str, done: Done) -> None:
        """Say how far it is, not too often."""
        self._done, self._rows = self._done + 1, self._rows + done.rows
        now = time.monotonic()
        if now - self._said >= self.every_s:
            self._said = now
            spent = now - self._began
            logger.info(
                "%s: %d of %d items, %.0f rows/s, %.0f s left.", stage, self._done, self._items, self._rows / spent,
                spent / self._done * (self._items - self._done),
            )  # fmt: skip

    def ended(self, stage: str, seconds: float) -> None:
        """Sum up."""
        logger.info(
            "%s: %d items in %.1f s, %.0f rows/s.", stage, self._items, seconds, self._rows / max(seconds, 1e-9)
        )


class Terminal:
    """Bars with items, rows/s and the time left."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task = TaskID(0)
        self._rows = 0
        self._began = 0.0

    def started(self, stage: str, items: int, finished: int) -> None:
        """A new bar."""
        self._rows, self._began = 0, time.monotonic()
        self._task = self._bars.add_task(stage, total=items, completed=finished, speed="")

    def item(self, stage: str, done: Done) -> None:
        """Move the bar."""
        self._rows += done.rows
        speed = self._rows / max(time.monotonic() - self._began, 1e-9)
        self._bars.update(self._task, advance=1, speed=f"{speed:,.0f} rows/s" if self._rows else "")

    def ended(self, stage: str, seconds: float) -> None:
        """Leave the bar full."""
        self._bars.stop_task(self._task)


@contextmanager
def shown() -> Iterator[Lines | Terminal]:
    """Bars on stderr where it is a terminal, log lines elsewhere."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    columns = (
        TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]:>18}"),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Bars(*columns, console=Console(stderr=True)) as bars:
        yield Terminal(bars)
