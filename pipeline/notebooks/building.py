"""How long a build of another length takes, from the stages of a measured one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.notebooks.capacity import Need
from pipeline.quality.reading import Report

OF_THE_SAMPLE = ("sample", "plan", "train", "probes", "evaluate")
"""Stages whose work is a sample's or the probes', whose number is set: a longer list does not make them longer."""

BY_PARTITION = ("extract", "sample", "encode", "truth")
"""Stages with an item per partition; others have as many items as there are models, files or candidates."""


@dataclass(frozen=True, slots=True)
class StageTime:
    """A stage of the planned build."""

    stage: str
    measured_s: float
    """Seconds of tasks in the measured build."""
    planned_s: float
    """Seconds of tasks for the planned rows."""
    at_once: int
    """Workers that find an item to do."""
    grows: bool
    """Whether its work grows with the rows."""

    @property
    def wall_s(self) -> float:
        """Seconds on the planned workers."""
        return self.planned_s / self.at_once


def stage_times(need: Need, report: Report) -> list[StageTime]:
    """Every stage that the report has times of, longest first.

    Work of stages that go through the list grows with rows and dimensions alike; workers share the items of a stage.
    `measure` searches with every candidate, so it grows with the rows as a scan does.
    """
    growth = need.rows / report.manifest.count * need.dim / report.manifest.descriptor.dim
    partitions = math.ceil(need.rows / report.data["spec"]["build"]["partition_rows"])
    times = []
    for name, one in report.data["stages"].items():
        grows = name not in OF_THE_SAMPLE
        planned = one["task_seconds"] * (growth if grows else 1)
        at_once = min(need.workers, partitions if name in BY_PARTITION else max(one["items"], 1))
        times.append(StageTime(name, one["task_seconds"], planned, at_once, grows))
    return sorted(times, key=lambda one: -one.wall_s)


def wall_seconds(times: list[StageTime]) -> float:
    """The build as a whole: stages run one after another."""
    return sum(one.wall_s for one in times)
