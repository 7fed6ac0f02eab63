"""The stages of a build in their order, each with its demand."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.planning import evaluating, making, reading, training
from pipeline.planning.demand import Demand
from pipeline.planning.subject import Subject

DEMANDS: tuple[Callable[[Subject], Demand], ...] = (
    reading.partition,
    reading.extract,
    reading.census,
    reading.sample,
    reading.plan,
    training.train,
    making.encode,
    making.assemble,
    evaluating.probes,
    evaluating.truth,
    evaluating.measure,
    evaluating.evaluate,
    making.publish,
)
"""As `pipeline.stages.BUILD` has them; a test compares the names."""


def demands(subject: Subject) -> list[Demand]:
    """Of every stage; raises PlanImpossible when no recipe keeps the limits."""
    return [demand(subject) for demand in DEMANDS]
