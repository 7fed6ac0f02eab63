"""Runs the items of a stage as Dask tasks: the only module of the pipeline that imports Dask.

Tasks exchange keys and small results; bulk bytes go through the bucket.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client, KilledWorker, LocalCluster, as_completed, performance_report

from configs.settings import Dask
from pipeline.errors import StageFailed
from pipeline.stage import Done, Item, Runner, Stage, run_one
from pipeline.workspace import Work

logger = logging.getLogger(__name__)

TOPIC = "lim-build"
"""Dask events of builds: what the pages on the scheduler follow."""


def on_dask(client: Client) -> Runner:
    """A runner that submits every item to the cluster of `client` under a readable key."""

    def run(stage: Stage, work: Work, items: list[Item], report: Callable[[Done], None]) -> None:
        spec = work.spec
        futures = {}
        for item in items:
            key = f"{stage.name}-{spec.label}-{spec.index_id[:8]}-{item.key}"
            futures[client.submit(run_one, stage, work, item, key=key, pure=False)] = item
        try:
            for future in as_completed(futures):
                done = _result(stage, futures[future], future)
                client.log_event(TOPIC, _event(client, stage, work, futures[future], done))
                report(done)
        finally:
            client.cancel(list(futures))

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


def _result(stage: Stage, item: Item, future: object) -> Done:
    try:
        return future.result()  # type: ignore[attr-defined, no-any-return]
    except KilledWorker as error:
        raise StageFailed(
            f"{stage.name} {item.key}: {error.allowed_failures + 1} workers died one after another while running it "
            "(out of memory?): look at the workers' logs, lower build.partition_rows or raise dask.memory_limit, "
            "then run the same command again, which continues where it stopped"
        ) from error


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
        try:
            client = Client(dask.scheduler, timeout=f"{dask.connect_timeout_s}s")
        except (OSError, TimeoutError) as error:
            raise StageFailed(
                f"dask.scheduler: nothing answers at {dask.scheduler} ({error}): start it, or leave the setting empty "
                "for workers of this command's own"
            ) from error
        with client:
            yield _with_workers(client, dask)
        return
    workers = dask.workers or None
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=dask.threads_per_worker,
            processes=True,
            memory_limit=dask.memory_limit,
            dashboard_address="127.0.0.1:0",
            host="127.0.0.1",
        ) as local,
        Client(local) as client,
    ):
        yield client


def _with_workers(client: Client, dask: Dask) -> Client:
    try:
        client.wait_for_workers(1, timeout=dask.connect_timeout_s)
    except TimeoutError:
        raise StageFailed(
            f"dask.scheduler: {dask.scheduler} has no workers after {dask.connect_timeout_s} s: start one"
        ) from None
    return client
