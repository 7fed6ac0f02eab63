"""How long stages take on a cluster."""

from __future__ import annotations

from pipeline.planning.cluster import Cluster
from pipeline.planning.demand import Demand, Step
from pipeline.planning.rates import Rates


def seconds(demand: Demand, cluster: Cluster, rates: Rates) -> float:
    """Seconds of a stage from its first item to its last.

    Items of a step are dealt to as many slots as there are; the last round may leave some idle.
    """
    return rates.stage_s + sum(_step(step, cluster, rates) for step in demand.steps)


def task_seconds(step: Step, rates: Rates) -> float:
    """Seconds of one item on one core."""
    kinds = rates.kinds
    moved = step.read / rates.read + step.written / rates.write + step.requests * rates.request_s
    return moved + sum(units / kinds[kind] for kind, units in step.work.items())


def _step(step: Step, cluster: Cluster, rates: Rates) -> float:
    rounds = -(-step.items // cluster.slots)
    return step.times * (rounds * task_seconds(step, rates) + step.items * rates.item_s)
