"""Tells the manager how far a build is, at most twice a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from manager.builds.wire import Told
from pipeline.stage import Done

EVERY_S = 0.5


class Telling:
    """A `pipeline.build.Progress` whose newest state is told by a thread of its own; what is over at once is not told."""

    def __init__(self, tell: Callable[[Told], None]) -> None:
        self._tell = tell
        self._changed, self._turn = threading.Event(), threading.Lock()
        self._stage, self._items, self._finished, self._rows, self._done = "", 0, 0, 0, 0
        self._began = 0.0
        threading.Thread(target=self._run, name="telling", daemon=True).start()

    def started(self, stage: str, items: int, finished: int) -> None:
        """A stage begins."""
        self._stage, self._items, self._finished, self._rows, self._done = stage, items, finished, 0, 0
        self._began = time.monotonic()
        self._changed.set()

    def item(self, stage: str, done: Done) -> None:
        """An item is done."""
        self._finished, self._rows, self._done = self._finished + 1, self._rows + done.rows, self._done + 1
        self._changed.set()

    def ended(self, stage: str, seconds: float) -> None:
        """All items of a stage are done; the next one says so soon enough."""

    def over(self) -> None:
        """The build has ended: nothing more is told of it."""
        with self._turn:
            self._changed.clear()

    def state(self) -> Told:
        """How far it is."""
        spent = max(time.monotonic() - self._began, 1e-6)
        eta_s = spent / self._done * (self._items - self._finished) if self._done else -1.0
        return Told(self._stage, self._items, self._finished, self._rows / spent, eta_s)

    def _run(self) -> None:
        while True:
            self._changed.wait()
            time.sleep(EVERY_S)  # before, so that the last of several changes is the one that is told
            with self._turn:
                if self._changed.is_set():
                    self._changed.clear()
                    self._tell(self.state())
