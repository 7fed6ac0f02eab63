"""A plan in figures: per stage items, memory, bytes, seconds; what cannot work is refused with both numbers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.clustering.sizes import sample_rows
from pipeline.errors import PlanImpossible
from pipeline.kmeans import LEAST_PER_CELL
from pipeline.planning.cluster import Cluster
from pipeline.planning.demand import Demand, Step
from pipeline.planning.rates import Rates
from pipeline.planning.stages import demands
from pipeline.planning.subject import Subject
from pipeline.planning.times import seconds, task_seconds

EVALUATION = ("probes", "truth", "measure", "evaluate")
"""Stages that find out how good an index is; the others make it."""

LEAST_SHARD = 16 << 20
"""Bytes of a shard below which none is proposed."""


@dataclass(frozen=True, slots=True)
class StageForecast:
    """A stage."""

    stage: str
    items: int
    peak: int
    """Bytes of a worker at its fullest: the process, with as many of the largest items as it runs at a time."""
    mapped: int
    """Bytes of files that it may map beside that, which the kernel drops when they are needed elsewhere."""
    read: int
    written: int
    seconds: float
    core_s: float
    """Seconds of one core that did all of it, waiting for the bucket included."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """A build."""

    rows: int
    dim: int
    recipe: str
    cells: int
    code_bytes: int
    shards: int
    sample: int
    partitions: int
    index_bytes: int
    """Memory of the loaded index, all shards."""
    stages: tuple[StageForecast, ...]
    notes: tuple[str, ...]
    """Settings that must be others than they are."""

    @property
    def seconds(self) -> float:
        """Of all stages."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def making_s(self) -> float:
        """Of the stages that make the index."""
        return sum(stage.seconds for stage in self.stages if stage.stage not in EVALUATION)

    @property
    def peak(self) -> int:
        """Bytes of a worker at its fullest, without what is mapped."""
        return max(stage.peak for stage in self.stages)

    @property
    def read(self) -> int:
        """Bytes read from the bucket."""
        return sum(stage.read for stage in self.stages)

    @property
    def written(self) -> int:
        """Bytes written to it."""
        return sum(stage.written for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        """JSON fields."""
        totals = {name: getattr(self, name) for name in ("seconds", "making_s", "peak", "read", "written")}
        return asdict(self) | totals


def forecast(subject: Subject, cluster: Cluster, rates: Rates) -> Forecast:
    """What building takes.  Raises PlanImpossible when a task needs more memory than a worker has, or no recipe works."""
    its = demands(subject)
    stages = tuple(_stage(demand, cluster, rates) for demand in its)
    check_memory(subject, cluster, stages)
    chosen = subject.chosen
    return Forecast(
        rows=subject.rows, dim=subject.dim, recipe=chosen.recipe, cells=int(chosen.parameters.get("nlist", 0)),
        code_bytes=int(chosen.parameters.get("code_bytes", subject.dim * 2)), shards=chosen.shards,
        sample=subject.sample if subject.models else 0, partitions=subject.partitions,
        index_bytes=subject.shard_bytes(chosen) * chosen.shards, stages=stages, notes=_notes(subject),
    )  # fmt: skip


def _stage(demand: Demand, cluster: Cluster, rates: Rates) -> StageForecast:
    held = [(step.peak * beside, step.mapped * beside) for step in demand.steps if (beside := _at_once(step, cluster))]
    fullest = max(held, key=sum, default=(0, 0))
    peak = int(rates.process) + max((anonymous for anonymous, _ in held), default=0)
    spent = sum(step.items * step.times * task_seconds(step, rates) for step in demand.steps)
    return StageForecast(
        demand.stage,
        demand.items,
        peak,
        fullest[1],
        demand.read,
        demand.written,
        seconds(demand, cluster, rates),
        spent,
    )


def _at_once(step: Step, cluster: Cluster) -> int:
    """Items of a step that one worker runs at a time."""
    return min(cluster.threads, -(-step.items // cluster.workers))


def check_memory(subject: Subject, cluster: Cluster, stages: Sequence[StageForecast]) -> None:
    """Raise PlanImpossible when a stage's peak is above the workers' limit; says what would work."""
    largest = max(stages, key=lambda stage: stage.peak)
    if not cluster.memory_limit or largest.peak <= cluster.memory_limit:
        return
    raise PlanImpossible(
        f"{largest.stage}: a worker of {cluster.threads} task{'s' * (cluster.threads > 1)} at a time needs {largest.peak:,} "
        f"bytes for {subject.rows:,} rows of {subject.dim}, allowed are {cluster.memory_limit:,}: "
        f"raise dask.memory_limit{_or_else(subject, cluster, largest.stage)}"
    )


def in_smaller_shards(subject: Subject, cluster: Cluster, rates: Rates) -> Forecast:
    """The plan with the largest half, quarter, … of `shard_bytes` whose tasks workers can hold, with a note.

    Raises PlanImpossible as `forecast` does where there is none.
    """
    build = subject.build
    while build.shard_bytes > LEAST_SHARD and not build.shards:
        build = replace(build, shard_bytes=build.shard_bytes // 2)
        with suppress(PlanImpossible):
            found = forecast(replace(subject, build=build), cluster, rates)
            note = f"{subject.rows:,} rows: set build.shard_bytes to {build.shard_bytes:,}; with {subject.build.shard_bytes:,} "
            return replace(found, notes=(note + _refused(subject, cluster, rates), *found.notes))
    return forecast(subject, cluster, rates)


def _refused(subject: Subject, cluster: Cluster, rates: Rates) -> str:
    stages = [_stage(demand, cluster, rates) for demand in demands(subject)]
    largest = max(stages, key=lambda stage: stage.peak)
    return f"{largest.stage} needs {largest.peak:,} bytes in a worker, allowed are {cluster.memory_limit:,}"


def _or_else(subject: Subject, cluster: Cluster, stage: str) -> str:
    """What else would lower the peak of a stage."""
    ways = []
    if cluster.threads > 1:
        ways.append("run fewer tasks in a worker (--threads 1)")
    if stage in ("assemble", "measure", "evaluate"):
        ways.append("lower build.shard_bytes, for more and smaller shards")
    if stage in ("extract", "sample", "encode", "truth", "assemble"):
        ways.append("lower build.partition_rows")
    if stage in ("train", "plan", "probes") and subject.sample > LEAST_PER_CELL * subject.cells:
        ways.append(f"set build.sample_rows lower than {subject.sample:,}")
    if stage in ("probes", "truth", "measure", "evaluate"):
        ways.append("lower quality.mated_probes")
    return "".join(f", or {way}" for way in ways)


def _notes(subject: Subject) -> tuple[str, ...]:
    """The build refuses fewer than LEAST_PER_CELL sampled rows a cell."""
    least = LEAST_PER_CELL * subject.cells
    if sample_rows(subject.build, subject.rows) >= least:
        return ()
    return (
        f"{subject.rows:,} rows: set build.sample_rows to {subject.sample:,} for {subject.cells:,} cells; it is "
        f"{subject.build.sample_rows:,}, and at least {least:,} are needed",
    )
