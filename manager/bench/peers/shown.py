"""Shows how far the bench is: a line per engine on a terminal, a line per event elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from manager.bench.peers.measuring import Told
from manager.bench.peers.results import Result, spelled


class Bar(Told):
    """One line of the terminal."""

    def __init__(self, bars: Progress, name: str) -> None:
        self._bars = bars
        self._task: TaskID = bars.add_task(name, total=None, what="waiting", start=False)

    def doing(self, what: str, done: int = 0, of: int = 0) -> None:
        """Move the bar."""
        self._bars.start_task(self._task)
        self._bars.update(self._task, what=what, completed=done, total=of or None)

    def ended(self, what: str) -> None:
        """The last words."""
        self._bars.update(self._task, what=what, completed=1, total=1)
        self._bars.stop_task(self._task)


class Lines(Told):
    """One line of a log per step; repeated news of the same step are left out."""

    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name, self._last = console, name, ""

    def doing(self, what: str, done: int = 0, of: int = 0) -> None:
        """Say it once."""
        if what != self._last:
            self._last = what
            self._console.print(f"{self._name}: {what}", soft_wrap=True, highlight=False)

    def ended(self, what: str) -> None:
        """The last words."""
        self.doing(what)


class Screen:
    """Where the lines of a regime are."""

    def __init__(self, console: Console, bars: Progress | None) -> None:
        self._console, self._bars = console, bars

    def line(self, name: str) -> Bar | Lines:
        """A new line."""
        return Lines(self._console, name) if self._bars is None else Bar(self._bars, name)


@contextmanager
def screen() -> Iterator[Screen]:
    """Bars on stderr where it is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Screen(console, None)
        return
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(24),
        TextColumn("{task.fields[what]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:
        yield Screen(console, bars)


def last_words(result: Result) -> str:
    """An engine's line when it has been measured."""
    if result.judged is None:
        return result.status
    return f"{spelled(result.judged.point)}, added FNIR {result.judged.figures.added_fnir:.4f}"
