"""How long stages take on a cluster."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.planning.cluster import Cluster
from pipeline.planning.demand import Demand, Step
from pipeline.planning.rates import Rates


def seconds(demand: Demand, cluster: Cluster, rates: Rates) -> float:
    """Seconds of a stage from its first item to its last.

    Items of a step are dealt to as many slots as there are; the last round may leave some idle.  Steps that run beside
    each other take as long as the longest of them, or as all slots need for all of them.
    """
    return rates.stage_s + sum(_together(steps, cluster, rates) for steps in _waves(demand.steps))


def task_seconds(step: Step, rates: Rates) -> float:
    """Seconds of one item on one core."""
    kinds = rates.kinds
    moved = step.read / rates.read + step.written / rates.write + step.requests * rates.request_s
    return moved + sum(units / kinds[kind] for kind, units in step.work.items())


def _waves(steps: Sequence[Step]) -> list[list[Step]]:
    """Steps that run beside each other, group by group."""
    found: list[list[Step]] = []
    for step in steps:
        if step.beside and found:
            found[-1].append(step)
        else:
            found.append([step])
    return found


def _together(steps: Sequence[Step], cluster: Cluster, rates: Rates) -> float:
    longest = max(step.times * -(-step.items // cluster.slots) * task_seconds(step, rates) for step in steps)
    shared = sum(step.times * step.items * task_seconds(step, rates) for step in steps) / cluster.slots
    return max(longest, shared) + sum(step.times * step.items for step in steps) * rates.item_s
