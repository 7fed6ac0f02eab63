"""One build through the real pipeline on local workers, metered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from configs.settings import Settings
from manager.bench.builds.copying import plain_copy
from manager.bench.builds.metered import Meter
from manager.bench.builds.timed_store import Spent, timing
from pipeline.artifact import Manifest, index_prefix, open_store
from pipeline.build import Built
from pipeline.build import build as run_build
from pipeline.graph import cluster, on_dask
from pipeline.order import Order
from pipeline.sources.places import Place

EVALUATION = ("probes", "truth", "measure", "evaluate")
"""Stages that find out how good an index is; the others make it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Processes times Dask threads of each."""

    processes: int
    threads: int

    @classmethod
    def of(cls, text: str) -> Shape:
        """From `2x1`; raises ValueError for anything else."""
        processes, _, threads = text.partition("x")
        found = cls(int(processes), int(threads))
        if min(found.processes, found.threads) < 1:
            raise ValueError(text)
        return found

    def __str__(self) -> str:
        return f"{self.processes}x{self.threads}"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one build took: stage by stage seconds, items, CPU seconds, peak bytes of the largest worker."""

    recipe: str
    shape: Shape
    manifest: Manifest
    seconds: float
    """From the listing of the source to the removed work folder."""
    stages: dict[str, dict[str, float]]
    spent: Spent
    """In the bucket by the stages that make the index, in all workers together."""
    plain_s: float
    """A plain copy of as many bytes would have taken, in all workers together."""

    @property
    def evaluation_s(self) -> float:
        """Seconds of the evaluation."""
        return sum(self.stages[name]["seconds"] for name in EVALUATION)

    @property
    def making_s(self) -> float:
        """Seconds of everything else, what lies between stages among it."""
        return self.seconds - self.evaluation_s

    @property
    def making_cpu_s(self) -> float:
        """CPU seconds of the stages that make the index."""
        return sum(stage["cpu_s"] for name, stage in self.stages.items() if name not in EVALUATION)

    def rows_per_core(self, cores: int) -> float:
        """Rows a second and core; no more cores count than could work at a time."""
        return self.manifest.count / self.making_s / min(cores, self.shape.processes * self.shape.threads)

    def to_json(self) -> dict[str, Any]:
        """JSON fields."""
        spent = asdict(self.spent)
        return {
            "recipe": self.recipe, "shape": str(self.shape), "rows": self.manifest.count, "seconds": self.seconds,
            "making_s": self.making_s, "evaluation_s": self.evaluation_s, "making_cpu_s": self.making_cpu_s,
            "content_digest": self.manifest.content_digest, "stages": self.stages, "store": spent, "plain_s": self.plain_s,
        }  # fmt: skip


def measured(source: str, settings: Settings, shape: Shape, *, copied: bool = True) -> Measured:
    """Build `source` with these settings on a cluster of this shape; the index is removed afterwards.

    Raises what a build raises.  `copied`: whether the plain copy is made as well.
    """
    dask = replace(settings.dask, scheduler="", workers=shape.processes, threads_per_worker=shape.threads)
    store = open_store(settings.storage.bucket, settings.storage)
    store.delete_prefix("work/")  # of a bench that was interrupted: what it left would not be done again
    with cluster(dask) as client:
        _all(client, loaded)
        meter = Meter(client)
        built = run_build(Order(source, "bench"), settings, lambda: timing(on_dask(client, dask)), meter)
        spent = Spent()
        for name, stage in meter.stages.items():
            if name not in EVALUATION:
                spent.add(stage.moved)
        place = Place.of(f"{store.url}/plain", settings.storage)
        plain = plain_copy(partial(_all, client), place, spent.read, spent.written) if copied else 0.0
    store.delete_prefix(index_prefix(built.manifest.label, built.manifest.index_id))
    store.delete_prefix("catalog/")
    return Measured(settings.build.recipe, shape, built.manifest, built.seconds, _stages(built, meter), spent, plain)


def loaded() -> str:
    """Load what a worker needs, so that workers begin as those of a cluster do, which have built before."""
    from pipeline import stages

    return stages.__name__


def _all(client: Any, call: Callable[[], Any]) -> list[Any]:
    """What each worker answers."""
    return list(client.run(call).values())


def _stages(built: Built, meter: Meter) -> dict[str, dict[str, float]]:
    return {
        name: {
            "seconds": stage["seconds"], "items": stage["items"], "cpu_s": meter.stages[name].cpu_s,
            "peak": meter.stages[name].peak, "store_s": meter.stages[name].moved.seconds,
        }
        for name, stage in built.stages.items()
    }  # fmt: skip
