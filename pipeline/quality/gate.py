"""Chooses the cheapest operating point that meets the target, then puts it to the test on fresh probes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.quality.bounds import lower_bound, needed, upper_bound
from pipeline.quality.figures import Figures

ATTEMPTS = 4
"""Points gated at most; each further one on the same probes is held to half of the risk of the one before."""


@dataclass(frozen=True, slots=True)
class Target:
    """What must be reached."""

    added_fnir: float
    confidence: float
    recall: float = 0.0
    """Least recall@10."""

    def met(self, figures: Figures) -> bool:
        """Whether figures with a bound prove the added FNIR and have the recall."""
        return figures.added_fnir_bound <= self.added_fnir and figures.recall_at_10 >= self.recall

    @property
    def needed(self) -> int:
        """Mated probes that can prove it at all."""
        return needed(self.added_fnir, self.confidence)


@dataclass(frozen=True, slots=True)
class Measured:
    """An operating point with its predicted cost and its figures on the choosing half."""

    name: str
    recipe: str
    nprobe: int
    rerank: int
    cost: float
    """Predicted microseconds of one core per request; never a measured time, so that a repeated build decides the same."""
    figures: Figures

    @property
    def exact(self) -> bool:
        """Whether every row is compared, so that nothing is lost by definition."""
        return self.recipe == "exact"

    @property
    def where(self) -> str:
        """For people."""
        return self.name if self.exact else f"{self.name} (nprobe {self.nprobe}, re-ranking {self.rerank})"


@dataclass(frozen=True, slots=True)
class Gated:
    """The outcome: the point that passed, or the best that did not, with its figures on the gating half."""

    point: Measured
    figures: Figures
    """With the bound at the confidence of the attempt that passed."""
    passed: bool
    resolvable: bool
    """False when it did not pass, and too few probes can neither prove nor disprove the target."""
    rejected: dict[str, str]
    """Why others were not taken, by `Measured.where`."""


def choose(points: list[Measured], target: Target, gate: Callable[[Measured], Figures]) -> Gated:
    """Try points in order of predicted cost; `gate` measures one on the gating half.

    A point is tried when the choosing half's bound meets the target.  Attempt i, counted from 0, is held to the
    confidence 1 - (1 - confidence) / 2^i, so that the risk of passing a bad point stays below twice that of one.
    Exact search loses nothing by definition: it passes unless its index, where there is one, shows a loss above the target.
    """
    rejected: dict[str, str] = {}
    tried: dict[str, Figures] = {}
    for point in sorted(points, key=lambda one: (one.cost, one.where)):
        if reason := _not_worth_a_try(point, target, len(tried)):
            rejected[point.where] = reason
            continue
        confidence = 1 - (1 - target.confidence) / 2 ** len(tried)
        figures = _at(gate(point), confidence)
        if figures.added_fnir <= target.added_fnir if point.exact else target.met(figures):
            return Gated(point, figures, True, True, rejected | _dearer(points, point, rejected))
        rejected[point.where] = f"gating half: {_missed(figures, target)}"
        tried[point.where] = figures
    best = min(points, key=lambda one: (one.figures.added_fnir_bound, -one.figures.recall_at_10, one.cost, one.where))
    figures = _at(tried[best.where] if best.where in tried else gate(best), target.confidence)
    proven = lower_bound(figures.lost, figures.probes, target.confidence) > target.added_fnir
    proven |= figures.recall_at_10 < target.recall
    return Gated(best, figures, False, proven or figures.probes >= target.needed, rejected)


def _not_worth_a_try(point: Measured, target: Target, attempts: int) -> str:
    if point.exact:
        return ""
    if not target.met(point.figures):
        few = point.figures.probes < target.needed and point.figures.recall_at_10 >= target.recall
        why = (
            f"; {point.figures.probes} probes of the choosing half cannot prove it, {target.needed} can" if few else ""
        )
        return f"choosing half: {_missed(point.figures, target)}{why}"
    return f"not tried: {ATTEMPTS} points failed on the gating half" if attempts >= ATTEMPTS else ""


def _at(figures: Figures, confidence: float) -> Figures:
    """The same figures with the bound at another confidence."""
    fields = figures.to_json() | {"added_fnir_bound": upper_bound(figures.lost, figures.probes, confidence)}
    return Figures(**fields)


def _missed(figures: Figures, target: Target) -> str:
    if figures.recall_at_10 < target.recall:
        return f"recall@10 {figures.recall_at_10:.4g} < {target.recall:g}"
    return f"added FNIR {figures.added_fnir:.4g}, bound {figures.added_fnir_bound:.4g} > {target.added_fnir:g}"


def _dearer(points: list[Measured], chosen: Measured, rejected: dict[str, str]) -> dict[str, str]:
    return {
        point.where: f"dearer: {point.cost:.0f} µs predicted, {chosen.where} takes {chosen.cost:.0f}"
        for point in points
        if point is not chosen and point.where not in rejected
    }
