"""Chooses the cheapest operating point that meets the target, then puts it to the test on fresh probes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.quality.figures import Figures, upper_bound

ATTEMPTS = 4
"""Candidates gated at most; the risk of a wrong pass is split over them, halved each time."""


@dataclass(frozen=True, slots=True)
class Measured:
    """An operating point with its predicted cost and its figures on the choosing half."""

    name: str
    nprobe: int
    rerank: int
    cost: float
    """Predicted microseconds of one core per request; never a measured time, so that a repeated build decides the same."""
    figures: Figures

    @property
    def where(self) -> str:
        """For people."""
        return self.name if self.name == "exact" else f"{self.name} (nprobe {self.nprobe}, re-ranking {self.rerank})"


@dataclass(frozen=True, slots=True)
class Gated:
    """The outcome: the point that passed, or the best that did not, with its figures on the gating half."""

    point: Measured
    figures: Figures
    passed: bool
    rejected: dict[str, str]
    """Why others were not taken, by `Measured.where`."""


def choose(points: list[Measured], target: float, confidence: float, gate: Callable[[Measured], Figures]) -> Gated:
    """Try points in order of cost; `gate` measures one on the gating half.

    Attempt i, counted from 0, is held to the confidence 1 - (1 - confidence) / 2^i: a further try on the same
    probes must be surer than the one before.  Exact search passes by definition, and nothing dearer than it is tried.
    """
    rejected: dict[str, str] = {}
    tried: list[tuple[Measured, Figures]] = []
    for point in sorted(points, key=lambda one: (one.cost, one.where)):
        exact = point.name == "exact"
        if not exact and point.figures.added_fnir_bound > target:
            rejected[point.where] = (
                f"added FNIR {point.figures.added_fnir:.4g}, bound {point.figures.added_fnir_bound:.4g} > {target:g}"
            )
            continue
        if not exact and len(tried) == ATTEMPTS:
            rejected[point.where] = f"not tried: {ATTEMPTS} points failed on the gating half"
            continue
        figures = gate(point)
        attempt_confidence = 1 - (1 - confidence) / 2 ** len(tried)
        bound = upper_bound(figures.lost, figures.probes, attempt_confidence)
        if exact or bound <= target:
            return Gated(point, figures, True, rejected | _dearer(points, point, rejected))
        rejected[point.where] = f"gating half: added FNIR {figures.added_fnir:.4g}, bound {bound:.4g} > {target:g}"
        tried.append((point, figures))
    best = min(points, key=lambda one: (one.figures.added_fnir_bound, one.cost))
    figures = next((found for point, found in tried if point is best), None) or gate(best)
    return Gated(best, figures, False, rejected)


def _dearer(points: list[Measured], chosen: Measured, rejected: dict[str, str]) -> dict[str, str]:
    return {
        point.where: f"dearer: {point.cost:.0f} µs predicted, {chosen.where} takes {chosen.cost:.0f}"
        for point in points
        if point is not chosen and point.where not in rejected
    }


def refusal(gated: Gated, target: float) -> str:
    """What a refusal says: by how much the target is missed, and what would meet it."""
    figures = gated.figures
    return (
        f"added FNIR {figures.added_fnir:.4g} ({figures.lost} of {figures.probes} mates lost), bound "
        f"{figures.added_fnir_bound:.4g}, allowed {target:g}: not published. The best measured point is {gated.point.where}. "
        "What would meet the target: recipe 'auto' or 'exact', build.rerank 'float16', or a target above the bound; "
        "--force publishes it all the same"
    )
