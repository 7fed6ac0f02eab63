"""Which point of an engine is taken: the cheapest that passes the gate of `pipeline.quality`, or its best."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from manager.bench.peers.engine import Knobs
from manager.bench.peers.exam import Exam
from manager.bench.peers.results import Judged, Tried
from pipeline.quality.figures import Figures
from pipeline.quality.gate import Measured, choose

Gate = Callable[[Knobs], Figures]


class Judging(Protocol):
    """What has to be known of the engine."""

    exam: Exam
    chooses: bool
    """Whether it has chosen its point by itself."""
    exact: bool
    """Whether it compares every row, so that it loses nothing by definition."""


def judge(engine: Judging, tried: list[Tried], gate: Gate) -> Judged:
    """The outcome of `pipeline.quality.gate.choose` over the tried points, whose cost is their measured time.

    An engine that has chosen by itself, as ours has on other probes, has one candidate: its choice.
    """
    known: dict[str, Figures] = {}

    def asked(one: Tried) -> Figures:
        if one.label not in known:
            known[one.label] = gate(one.point)
        return known[one.label]

    by_label = {one.label: one for one in tried}
    recipe = "exact" if engine.exact else ""
    if engine.chooses:
        first = tried[0]
        # it was chosen on probes of its own, so that the choosing half has no say: the gating half decides alone
        points = [_measured(first, recipe, asked(first))]
    else:
        points = [_measured(one, recipe, one.figures) for one in tried]
    gated = choose(points, engine.exam.target, lambda point: asked(by_label[point.name]))
    taken = by_label[gated.point.name]
    reason = "; ".join(f"{name.partition(' (nprobe')[0]}: {why}" for name, why in gated.rejected.items())
    return Judged(taken.point, gated.figures, gated.passed, gated.resolvable, reason)


def _measured(one: Tried, recipe: str, figures: Figures) -> Measured:
    return Measured(one.label, recipe, 0, 0, one.seconds / max(one.figures.probes, 1) * 1e6, figures)
