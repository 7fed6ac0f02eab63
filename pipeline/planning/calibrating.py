"""Measures the coefficients of the cost model on the machine at hand, all of its cores being busy."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from configs.settings import Settings
from pipeline.build import make_spec
from pipeline.graph import cluster, on_dask
from pipeline.order import Order
from pipeline.planning import probing
from pipeline.planning.cluster import Cluster
from pipeline.planning.rates import Rates
from pipeline.spec import BuildSpec
from pipeline.stage import Item, Stage
from pipeline.workspace import Work

ITEMS = 60
"""Items that do nothing: what an item costs beside its work."""

BUDGET_S = 18.0
"""Seconds of all measurements together; starting workers and the items take some more."""


def calibrated(settings: Settings, shape: Cluster, budget_s: float = BUDGET_S) -> Rates:
    """Speeds measured in local workers of this shape at once, and in the bucket of the settings; nothing is left there.

    Every kind of work is done by the functions that a build calls, each for its share of the time; medians over workers.
    """
    dask = replace(settings.dask, scheduler="", workers=shape.workers, threads_per_worker=shape.threads)
    with cluster(dask) as client, tempfile.TemporaryDirectory(prefix="lim-rates-") as folder:
        work = _work(settings, Path(folder))
        process = statistics.median(client.run(probing.resident).values())
        each = budget_s / len(probing.PROBES)
        found = {
            name: statistics.median(client.run(partial(probing.speed, name, each, work)).values())
            for name in probing.PROBES
        }
        try:
            item_s = _item_seconds(partial(on_dask, client, dask), work, shape)
        finally:
            work.bucket.delete_prefix(work.prefix)
    request_s = 1 / found.pop("requests")
    shipped = Rates()
    scanned = shipped.scanned * found["searched"] / shipped.searched
    fixed = shipped.fixed * found["names"] / shipped.names  # both are Python
    return replace(shipped, **found, request_s=request_s, item_s=item_s, process=process, scanned=scanned, fixed=fixed)


def _work(settings: Settings, folder: Path) -> Work:
    """A work folder in the bucket for a list of a few rows."""
    from pipeline.artifact import open_store

    source = folder / "few.npy"
    np.save(source, np.eye(16, dtype=np.float16))
    spec: BuildSpec = make_spec(Order(str(source), "calibration"), settings)
    return Work(open_store(settings.storage.bucket, settings.storage), spec)


def nothing(_: Work, __: Any) -> int:
    """What an item does that is measured for what it costs beside."""
    return 0


def _items(_: Work) -> Iterator[Item]:
    for number in range(ITEMS):
        yield Item(f"{number:05d}", number)


def _item_seconds(runner: Callable[[], Any], work: Work, shape: Cluster) -> float:
    """Seconds of an item that does nothing, its marker written; the first few pay for imports."""
    stage = Stage("calibrate", nothing, _items)
    run, items = runner(), list(_items(work))
    run(stage, work, items[: 2 * shape.slots], lambda _: None)
    began = time.perf_counter()
    run(stage, work, items, lambda _: None)
    return (time.perf_counter() - began) / len(items)
