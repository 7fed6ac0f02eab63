"""Which candidates to try for a list: rows, dimensions and limits in, candidates out; no effects."""

from __future__ import annotations

from dataclasses import replace

from pipeline.errors import PlanImpossible
from pipeline.recipes.candidate import Candidate, Facts
from pipeline.recipes.known import RECIPES, alone_ms, memory
from pipeline.splitting import in_shards

ENERGY = 0.995
"""Share of the energy that a dimension reduction must keep to be proposed; its loss is part of added FNIR."""

CELLS_FROM = 50_000
"""Rows from which cells are proposed; below, a scan of everything takes less than choosing cells."""

EXACT_ONLY_BELOW = 20_000
"""Rows below which nothing but exact search is proposed: it takes less than the way through Redis."""

EXACT_BUILT_UP_TO = 50_000
"""Rows up to which the exact candidate is assembled beside the others, and so measured."""


def propose(facts: Facts) -> tuple[Candidate, ...]:
    """Candidates for a list with the points worth measuring; raises PlanImpossible when none keeps the limits."""
    wanted = [candidate for name in _recipes(facts) for candidate in RECIPES[name].candidates(facts)]
    small = [one for one in wanted if not facts.memory_limit or memory(one).anonymous <= facts.memory_limit]
    small = in_shards(small, facts) if small else small
    fitting = [quick for one in small if (quick := _quick(one, facts.latency_ms)).points]
    if not fitting:
        raise PlanImpossible(_impossible(facts, wanted, small))
    return tuple(fitting)


def _recipes(facts: Facts) -> list[str]:
    if facts.recipe != "auto":
        return [facts.recipe]
    coded = facts.rows >= EXACT_ONLY_BELOW
    return (
        ["exact"]
        + ["scan"] * coded
        + ["cells"] * (facts.rows >= CELLS_FROM)
        + ["ivfpq"] * (coded and facts.device == "gpu")
    )


def _quick(candidate: Candidate, limit_ms: float) -> Candidate:
    """The candidate with the points that keep the limit."""
    if not limit_ms:
        return candidate
    return replace(
        candidate, points=tuple(point for point in candidate.points if alone_ms(candidate, point) <= limit_ms)
    )


def _impossible(facts: Facts, wanted: list[Candidate], small: list[Candidate]) -> str:
    """What was asked for, and what would be possible."""
    list_ = f"{facts.rows} rows of {facts.dim}"
    or_else = ", or let build.recipe be 'auto'" if facts.recipe != "auto" else ""
    if not small:
        least = min(wanted, key=lambda one: memory(one).anonymous)
        return (
            f"build.memory_limit_bytes: {list_} need at least {memory(least).anonymous:,} bytes ({least.name}), "
            f"allowed are {facts.memory_limit:,}: raise the limit{or_else}"
        )
    quickest = min(small, key=_least_ms)
    within = f" within {facts.memory_limit:,} bytes" if facts.memory_limit else ""
    said = (
        f"quality.latency_ms: the search of one request alone over {list_}{within} is predicted to take at least "
        f"{_least_ms(quickest):.3g} ms ({quickest.name}), allowed are {facts.latency_ms:g}"
    )
    faster = [one for one in wanted if one not in small and _least_ms(one) <= facts.latency_ms]
    if faster:
        least = min(faster, key=lambda one: memory(one).anonymous)
        return f"{said}: raise it, or build.memory_limit_bytes to {memory(least).anonymous:,} ({least.name})"
    return f"{said}: raise it{or_else}"


def _least_ms(candidate: Candidate) -> float:
    return min(alone_ms(candidate, point) for point in candidate.points)
