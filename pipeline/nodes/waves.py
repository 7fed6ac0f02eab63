"""Does the items of a wave on a cluster, through the deaths of workers, items that kill them, a lost scheduler."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from distributed import Client, Future, KilledWorker

from configs.settings import Dask
from pipeline.errors import StageFailed
from pipeline.nodes.noting import noted
from pipeline.nodes.offers import wanted
from pipeline.nodes.suspicion import Trial
from pipeline.nodes.workers import POLL_S, alike, nobody, require_alike
from pipeline.patience import patiently
from pipeline.stage import Done, Item, Stage, marker
from pipeline.workspace import Work

logger = logging.getLogger(__name__)

LOOK_S = 2.0
"""Seconds without a finished item after which somebody looks whether there are workers at all."""


class SchedulerLost(Exception):
    """The scheduler went away, and with it everything it knew of our items."""


@dataclass(slots=True)
class Wave:
    """Items of one stage that may run in any order."""

    client: Client
    dask: Dask
    stage: Stage
    work: Work
    finished: Callable[[Done], None]
    """Called once for each item that is done."""
    priority: int = 0
    """Dask runs items of a higher one first."""
    _round: int = 0
    _seen: float = field(default_factory=time.monotonic)
    """When there was last a worker for the items."""

    def run(self, items: list[Item]) -> None:
        """Return when all items are done.  Raises what the first failing item raises, or StageFailed."""
        left = {item.key: item for item in items}

        def finished(done: Done) -> None:
            if left.pop(done.key, None):
                self.finished(done)

        timeout_s = self.dask.connect_timeout_s
        while left:
            try:
                require_alike(self.client, self.work.spec, timeout_s)
                for suspect in self._together(list(left.values()), finished):
                    finished(self._alone(suspect))
            except SchedulerLost as error:
                logger.warning("%s: %s", self.stage.name, error)
                self._wait_for_scheduler()
                timeout_s = self.dask.return_timeout_s
                for done in self._marked(left):
                    finished(done)
            self._round += 1

    def _together(self, items: list[Item], finished: Callable[[Done], None]) -> list[Item]:
        """Run items side by side; returns those that were on too many workers that died."""
        ready: SimpleQueue[Future] = SimpleQueue()
        futures: dict[Future, Item] = {}
        suspects = []
        try:
            for item in items:
                future = self._submit(item)
                futures[future] = item
                future.add_done_callback(ready.put)
            while futures:
                try:
                    future = ready.get(timeout=LOOK_S)
                except Empty:
                    self._look()
                    continue
                item = futures.pop(future)
                done = self._result(item, future)
                if done is None:
                    suspects.append(item)
                else:
                    finished(done)
                future.release()
        finally:
            if futures:
                with suppress(OSError):  # a scheduler that is gone has forgotten them
                    self.client.cancel(list(futures))
        return suspects

    def _submit(self, item: Item, worker: str = "") -> Future:
        spec = self.work.spec
        again = f"-{self._round}{'-alone' if worker else ''}" if self._round or worker else ""
        if spec.terms.fence is not None:  # what an earlier leader submitted publishes under its fence, and is refused
            again += f"-fence-{spec.terms.fence}"
        return self.client.submit(
            noted, self.stage, self.work, item, key=f"{self.stage.name}-{spec.label}-{spec.index_id}-{item.key}{again}",
            pure=False, resources=wanted(spec), workers=[worker] if worker else None, priority=self.priority,
        )  # fmt: skip

    def _alone(self, item: Item) -> Done:
        if marked := self._marked({item.key: item}):  # it was done, but its worker died before it said so
            return marked[0]
        trial = Trial(self.client, self.stage, self.work.spec, self.dask.connect_timeout_s)
        done = self._result(item, trial.of(item, lambda address: self._submit(item, address)))
        if done is None:  # it ended when the trial looked
            raise SchedulerLost(f"the outcome of {item.key} alone was lost")
        return done

    def _result(self, item: Item, future: Future) -> Done | None:
        """What a future brought; None when it was on too many workers that died."""
        try:
            return future.result()  # type: ignore[no-any-return]
        except KilledWorker:
            return None
        except CancelledError as error:
            if getattr(error, "reason", "") == "scheduler-connection-lost" or self.client.status != "running":
                raise SchedulerLost(f"lost the scheduler while {item.key} was running") from error
            raise StageFailed(
                f"{self.stage.name} {item.key}: somebody cancelled it: {error}; run the same command again to continue"
            ) from error
        except OSError as error:
            if future.status == "error":
                raise  # the item's own
            raise SchedulerLost(f"lost the scheduler while {item.key} was fetched: {error}") from error

    def _look(self) -> None:
        """Raises StageFailed when there has been nobody to do the items for too long."""
        now, limit = time.monotonic(), self.dask.connect_timeout_s
        if self.client.status != "running" or alike(self.client, self.work.spec):
            self._seen = now
        elif now - self._seen > limit:
            raise StageFailed(nobody(self.client, self.work.spec, limit))

    def _wait_for_scheduler(self) -> None:
        """The client looks for its scheduler by itself; this waits for the outcome."""
        until = time.monotonic() + self.dask.return_timeout_s
        while self.client.status != "running":
            if self.client.status in ("closed", "closing") or time.monotonic() > until:
                raise StageFailed(
                    f"{self.stage.name}: the scheduler went away and was not back within {self.dask.return_timeout_s:.0f} s: "
                    "start it again, at the same address, then run the same command again, which continues where it stopped"
                )
            time.sleep(POLL_S)

    def _marked(self, items: dict[str, Item]) -> list[Done]:
        """Those that are done by their markers, whoever was told."""
        work, stage = self.work, self.stage

        def look() -> list[Done]:
            found = {key.rsplit("/", 1)[-1] for key in work.keys(marker(stage))} & items.keys()
            return [Done(key, **work.load_json(marker(stage, key))) for key in sorted(found)]

        return patiently(look, work.spec.storage.patience_s)
