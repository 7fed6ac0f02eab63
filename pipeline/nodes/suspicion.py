"""Runs an item alone that was on workers when they died, to tell a poisonous one from a bystander."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from distributed import KilledWorker

from pipeline.errors import StageFailed
from pipeline.nodes.noting import TOPIC
from pipeline.nodes.workers import POLL_S, alike, require_alike
from pipeline.spec import BuildSpec
from pipeline.stage import Item, Stage

logger = logging.getLogger(__name__)

LINES = 12
"""Last lines of a worker, and of its nanny, that are shown."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Runs a suspect on one worker, which does nothing else of this build meanwhile."""

    client: Any
    stage: Stage
    spec: BuildSpec
    timeout_s: float
    """Seconds to wait for a worker, and for one that died to come back under its nanny."""

    def of(self, item: Item, submit: Callable[[str], Any]) -> Any:
        """The finished future of `submit(address)`.

        A worker that leaves together with its nanny was taken away, not killed by the item, which is then run on
        another.  Raises StageFailed with the worker's last lines when the item killed the worker that ran it alone.
        """
        while True:
            address, worker = next(iter(require_alike(self.client, self.spec, self.timeout_s).items()))
            logger.warning(
                "%s %s: was on workers that died; running it alone on %s.", self.stage.name, item.key, address
            )
            future = submit(address)
            if self._ended(future, address):
                return future
            self.client.cancel([future])
            if heir := self._heir(worker["nanny"], address):
                raise StageFailed(self._verdict(item, address, heir))
            logger.warning("%s left with its machine; trying another.", address)

    def _ended(self, future: Any, address: str) -> bool:
        """Whether the future ends before its worker does."""
        while not future.done():
            if self.client.status == "running" and address not in alike(self.client, self.spec):
                break
            time.sleep(POLL_S)
        if future.status == "error":
            return not isinstance(future.exception(), KilledWorker)
        return bool(future.done())

    def _heir(self, nanny: str | None, dead: str) -> str:
        """The worker that a nanny has started in the place of a dead one; "" when the nanny is gone as well."""
        until = time.monotonic() + self.timeout_s
        while nanny and time.monotonic() < until:
            for address, worker in alike(self.client, self.spec).items():
                if worker["nanny"] == nanny and address != dead:
                    return address
            time.sleep(POLL_S)
        return ""

    def _verdict(self, item: Item, dead: str, heir: str) -> str:
        lines = [event["line"] for _, event in self.client.get_events(TOPIC) if event["worker"] == dead][-LINES:]
        kept = self.client.get_worker_logs(n=LINES, workers=[heir], nanny=True).get(heir, ())
        lines += [text for _, text in reversed(kept)]
        return (
            f"{self.stage.name} {item.key} ({str(item.value)[:300]}): killed worker {dead}, which ran nothing else, as it had "
            "killed others before; their last lines:\n  "
            + "\n  ".join(lines)
            + "\nOut of memory: lower build.partition_rows, "
            "or raise the workers' memory limit. Otherwise look for what is special about this part of the source. Then run "
            "the same command again, which continues where it stopped"
        )
