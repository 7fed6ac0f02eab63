"""A stage of a build: a function over items that leaves a marker for each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.cpu_time import SPENT
from pipeline.device.threads import pinned
from pipeline.patience import patiently
from pipeline.workspace import Work


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of a stage: `key` is what a person reads on the dashboard, `value` what the stage gets."""

    key: str
    value: Any = None
    wave: int = 0
    """Items of one wave run in any order; the next wave begins when all of them are done, as rounds of k-means need."""


@dataclass(frozen=True, slots=True)
class Done:
    """A finished item."""

    key: str
    rows: int
    seconds: float
    cpu_s: float = 0.0
    """CPU seconds of its process since the item before it ended there: they add up to what the workers spent."""


ONE = (Item("all"),)


def once(_: Work) -> Iterable[Item]:
    """The items of a stage that is a single step."""
    return ONE


@dataclass(frozen=True, slots=True)
class Stage:
    """`run(work, value)` does one item, writes whole objects and may run twice; it returns the rows it handled."""

    name: str
    run: Callable[[Work, Any], int]
    items: Callable[[Work], Iterable[Item]] = once


class Runner(Protocol):
    """Does items of a stage in any order, calling `report` as each is done; raises at the first that fails."""

    def __call__(self, stage: Stage, work: Work, items: list[Item], report: Callable[[Done], None]) -> None:
        """Return when all items are done."""
        ...


def marker(stage: Stage, key: str = "") -> str:
    """Where the marker of an item lies."""
    return f"done/{stage.name}/{key}"


def run_one(stage: Stage, work: Work, item: Item) -> Done:
    """Do one item, then leave its marker: a crash before that repeats the item, which is harmless.

    While the bucket is busy the item is begun again, for as long as `storage.patience_s` allows.
    """
    started = time.monotonic()
    with SPENT.counted() as spent:
        return patiently(lambda: _once(stage, work, item, started, spent), work.spec.storage.patience_s)


def _once(stage: Stage, work: Work, item: Item, started: float, spent: Callable[[], float]) -> Done:
    with pinned(work.spec.build.threads_per_task):
        rows = stage.run(work, item.value)
    done = Done(item.key, rows, time.monotonic() - started, spent())
    leave_marker(stage, work, done)
    return done


def leave_marker(stage: Stage, work: Work, done: Done) -> None:
    """Say that an item is done; what it wrote is whole."""
    fields = {"rows": done.rows, "seconds": done.seconds, "cpu_s": done.cpu_s}
    work.write(marker(stage, done.key), json.dumps(fields).encode())


def serial(stage: Stage, work: Work, items: list[Item], report: Callable[[Done], None]) -> None:
    """The runner of tests and small builds: one item after the other, in this process."""
    for item in items:
        report(run_one(stage, work, item))
