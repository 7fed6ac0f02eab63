"""Runs an item on a worker, telling the scheduler what it logs, which outlives the worker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from distributed import get_worker

from pipeline.stage import Done, Item, Stage, run_one
from pipeline.workspace import Work

TOPIC = "lim-worker-log"
"""Dask events of what workers log while they do items: worker, line."""

PACKAGE = logging.getLogger("pipeline")


def noted(stage: Stage, work: Work, item: Item) -> Done:
    """`run_one` as a Dask task."""
    worker = get_worker()

    def tell(line: str) -> None:
        worker.log_event(TOPIC, {"worker": worker.address, "line": line})

    tell(f"{stage.name} {item.key} begins")
    with _forwarded(tell):
        return run_one(stage, work, item)


class _Forward(logging.Handler):
    """Tells of the records of one thread: others do other items."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._tell = tell
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Tell of it."""
        if record.thread == self._thread:
            self._tell(f"{record.levelname} {record.name}  {record.getMessage()}")


@contextmanager
def _forwarded(tell: Callable[[str], None]) -> Iterator[None]:
    handler = _Forward(tell)
    if PACKAGE.level == logging.NOTSET:  # a worker has no settings of its own
        PACKAGE.setLevel(logging.INFO)
    PACKAGE.addHandler(handler)
    try:
        yield
    finally:
        PACKAGE.removeHandler(handler)
