"""The cluster of a driver, kept from build to build: a connection to a scheduler, or workers of its own."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from configs.settings import Dask
from manager.builds.wire import Job
from pipeline.announcing import Announced
from pipeline.stage import Runner, serial

logger = logging.getLogger(__name__)


class Cluster:
    """Joined when a build first needs it, and anew when it was lost."""

    def __init__(self, dask: Dask) -> None:
        # a scheduler that is away costs the task no attempt for as long as a build would wait for one that it lost
        self._dask = replace(dask, connect_timeout_s=max(dask.connect_timeout_s, dask.return_timeout_s))
        self._stack = ExitStack()
        self._client: Any = None

    def runner(self, told: Announced, job: Job) -> Runner:
        """What does the items of a build.  Raises StageFailed when nothing answers, or there are no workers."""
        if self._dask.scheduler == "serial":
            return serial
        from pipeline.graph import on_dask, tell

        client = self._joined()
        return told.through(on_dask(client, self._dask, job.priority), tell(client), client.id)

    def leave(self) -> None:
        """Forget what was joined."""
        self._client = None
        stack, self._stack = self._stack, ExitStack()
        try:
            stack.close()
        except Exception as error:  # it fails in as many ways as a scheduler can be gone
            logger.warning("The cluster was left without saying so: %s: %s.", type(error).__name__, error)

    def _joined(self) -> Any:
        from pipeline.graph import cluster

        if self._client is not None and self._client.status != "running":
            self.leave()
        if self._client is None:
            self._client = self._stack.enter_context(cluster(self._dask))
        return self._client
