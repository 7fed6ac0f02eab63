"""Tells the cluster how a build goes, so that pages on its scheduler can show builds that anybody started."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from configs.errors import LimError
from configs.hiding import without_password
from pipeline.artifact import index_prefix
from pipeline.build import Built, Progress
from pipeline.order import Order
from pipeline.stage import Done, Item, Runner, Stage
from pipeline.stages import BUILD
from pipeline.whole import WHOLE
from pipeline.workspace import Work

logger = logging.getLogger(__name__)

Tell = Callable[[dict[str, Any]], object]
"""Takes a message of plain values; raises OSError when the cluster is gone."""


@dataclass(slots=True)
class Announced:
    """A build's progress, shown where it was shown before and told to the cluster beside it.

    Messages are plain dictionaries: `event` (began, started, wave, ended, published, failed), `run` (this run of the
    command), `label`, `index_id`, and what the event is about.  Finished items are the runner's to tell.
    """

    shown: Progress
    order: Order
    run: str
    client: str = ""
    _tell: Tell | None = None
    _index_id: str = ""
    _waiting: list[dict[str, Any]] = field(default_factory=list)
    """What is said once the index id is known, or once it is known that there will be none."""
    _waits: bool = True

    def through(self, runner: Runner, tell: Tell, client: str) -> Runner:
        """The runner, each of whose waves is told; everything before the first waits for the index id."""
        self._tell, self.client = tell, client
        self._waiting.insert(0, self._began())

        def run(stage: Stage, work: Work, items: list[Item], report: Callable[[Done], None]) -> None:
            self._known(work.spec.index_id)
            self._say({"event": "wave", "stage": stage.name, "wave": items[0].wave, "items": len(items)})
            runner(stage, work, items, report)

        return run

    def started(self, stage: str, items: int, finished: int) -> None:
        """A stage begins."""
        self.shown.started(stage, items, finished)
        self._say({"event": "started", "stage": stage, "items": items, "finished": finished})

    def item(self, stage: str, done: Done) -> None:
        """An item is done; the runner told it already."""
        self.shown.item(stage, done)

    def ended(self, stage: str, seconds: float) -> None:
        """All items of a stage are done."""
        self.shown.ended(stage, seconds)
        self._say({"event": "ended", "stage": stage, "seconds": seconds})

    def published(self, built: Built) -> None:
        """The index is in the bucket."""
        manifest = built.manifest
        self._known(manifest.index_id)
        report = index_prefix(manifest.label, manifest.index_id) + "report.html"
        self._say({"event": "published", "rows": manifest.count, "seconds": built.seconds, "report": report})

    def failed(self, error: BaseException) -> None:
        """The build ends with this error."""
        self._known(self._index_id)
        said = str(error) if isinstance(error, LimError) else f"{type(error).__name__}: {error}"
        self._say({"event": "failed", "error": without_password(said)})

    def _began(self) -> dict[str, Any]:
        names = [stage.name for stage in (WHOLE if self.order.whole else BUILD)]
        source = without_password(self.order.source)
        return {"event": "began", "source": source, "stages": names, "client": self.client, "at": time.time()}

    def _known(self, index_id: str) -> None:
        """Say what waited for the index id."""
        self._index_id, self._waits = index_id, False
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            self._say(message)

    def _say(self, message: dict[str, Any]) -> None:
        if self._waits or not self._tell:
            self._waiting.append(message)
            return
        try:
            self._tell({"run": self.run, "label": self.order.label, "index_id": self._index_id, **message})
        except OSError as error:
            # the pages miss it; what a lost cluster means for the build is the runner's to say
            logger.debug("The cluster was not told of %s: %s.", message["event"], error)
