"""Runs the items of a stage as Dask tasks, on a cluster or on workers of this process's own.

Tasks exchange keys and small results; bulk bytes go through the bucket.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from distributed import Client, LocalCluster, performance_report

from configs.settings import Dask
from pipeline.errors import StageFailed
from pipeline.nodes.allocator import keep_freed
from pipeline.nodes.offers import offered
from pipeline.nodes.waves import Wave
from pipeline.stage import Done, Item, Runner, Stage
from pipeline.workspace import Work

logger = logging.getLogger(__name__)

TOPIC = "lim-build"
"""Dask events of builds: what the pages on the scheduler follow."""


def on_dask(client: Client, dask: Dask | None = None, priority: int = 0) -> Runner:
    """A runner that submits every item to the cluster of `client` under a readable key.

    Only workers that compute the same bytes get items.  Workers may die and the scheduler may go away and come
    back: see `Wave`.  Items of a runner with a higher `priority` go first.
    """

    def run(stage: Stage, work: Work, items: list[Item], report: Callable[[Done], None]) -> None:
        waves = {item.key: item.wave for item in items}

        def finished(done: Done) -> None:
            with suppress(OSError):  # the pages miss it; the wave finds out by itself that the scheduler is gone
                told(_event(client, stage, work, Item(done.key, wave=waves[done.key]), done))
            report(done)

        Wave(client, dask or Dask(), stage, work, finished, priority).run(items)

    told = tell(client)
    return run


def tell(client: Client) -> Callable[[dict[str, Any]], object]:
    """What sends a message about a build to the scheduler; raises OSError where that is gone."""

    def send(message: dict[str, Any]) -> object:
        if client.status != "running":  # a client that looks for its scheduler would wait
            raise ConnectionError(
                f"the client of {client.scheduler_info().get('address', 'the scheduler')} is {client.status}"
            )
        return client.log_event(TOPIC, message)

    return send


def _event(client: Client, stage: Stage, work: Work, item: Item, done: Done) -> dict[str, Any]:
    return {
        "event": "item", "label": work.spec.label, "index_id": work.spec.index_id, "client": client.id,
        "stage": stage.name, "wave": item.wave, "item": done.key, "rows": done.rows, "seconds": done.seconds,
    }  # fmt: skip


@contextmanager
def reported(client: Client, file: str) -> Iterator[None]:
    """Write Dask's performance report of the block to an HTML file: where tasks ran, and when nothing did.

    A scheduler that was lost meanwhile takes the report with it: that is logged, the build is worth more.
    """
    report = performance_report(filename=file)
    report.__enter__()
    try:
        yield
    finally:
        try:
            report.__exit__(None, None, None)
        except Exception as error:  # it fails in as many ways as a scheduler can be gone
            logger.warning("%s was not written: %s: %s.", file, type(error).__name__, error)


@contextmanager
def cluster(dask: Dask) -> Iterator[Client]:
    """A client of `dask.scheduler`, or of a LocalCluster of this process's own when none is set.

    Raises StageFailed when the scheduler does not answer or has no workers.
    """
    if dask.scheduler:
        with _answering(dask) as client:
            yield client
        return
    keep_freed(dask.memory_limit, dask.threads_per_worker)
    with (
        LocalCluster(
            n_workers=dask.workers or max(1, (os.cpu_count() or 1) // dask.threads_per_worker),
            threads_per_worker=dask.threads_per_worker,
            processes=True,
            memory_limit=dask.memory_limit,
            resources=offered(dask.threads_per_worker),
            dashboard_address="127.0.0.1:0",
            host="127.0.0.1",
        ) as local,
        Client(local) as client,
    ):
        yield client


@contextmanager
def _answering(dask: Dask) -> Iterator[Client]:
    """A client that waits `return_timeout_s` for a lost scheduler, once it is known that there is one with workers."""
    try:
        probe = Client(dask.scheduler, timeout=f"{dask.connect_timeout_s}s", set_as_default=False)
    except OSError as error:
        raise StageFailed(
            f"dask.scheduler: nothing answers at {dask.scheduler} ({error}): start it, or leave the setting empty "
            "for workers of this command's own"
        ) from error
    with probe:
        try:
            probe.wait_for_workers(1, timeout=dask.connect_timeout_s)
        except TimeoutError:
            raise StageFailed(
                f"dask.scheduler: {dask.scheduler} has no workers after {dask.connect_timeout_s} s: start `lim indexer`"
            ) from None
    with Client(dask.scheduler, timeout=f"{dask.return_timeout_s}s") as client:
        yield client
