"""Says in a sentence what was decided about an index."""

from __future__ import annotations

from math import ceil, floor, log10

from pipeline.quality.gate import Gated, Target


def verdict(gated: Gated, target: Target, exact_cost: float, misnamed: int = 0) -> str:
    """The verdict; of a refusal by how much the target is missed with what would meet it.

    `exact_cost` is the predicted microseconds of a request to exact search over the same list, `misnamed` how
    many of the rows found carry the name of another row.
    """
    said = _plain(gated, target, exact_cost)
    if not misnamed:
        return said
    figures = gated.figures
    names = f"{misnamed} of the rows found carry the name of another row"
    if gated.passed or not gated.resolvable:
        return f"{said}; {names}"
    return (
        f"added FNIR {figures.added_fnir:.4g} ({figures.lost} of {figures.probes} mates lost), allowed {target.added_fnir:g}: "
        f"not published. {names}, which no recipe mends: remove the work folder and build again"
    )


def _plain(gated: Gated, target: Target, exact_cost: float) -> str:
    if not gated.passed:
        return refusal(gated, target, exact_cost) if gated.resolvable else unresolved(gated, target)
    figures, point = gated.figures, gated.point
    if point.exact:
        few = figures.probes < target.needed
        return f"{point.where}: every row is compared, so that nothing is added to what exact search misses" + (
            f"; {figures.probes} mated probes could not prove {target.added_fnir:g} of any other recipe, {target.needed} can"
            if few and len(gated.rejected)
            else ""
        )
    return (
        f"{point.where}: added FNIR {figures.added_fnir:.4g} ({figures.lost} of {figures.probes} mates lost), "
        f"bound {figures.added_fnir_bound:.4g}, target {target.added_fnir:g}"
    )


def unresolved(gated: Gated, target: Target) -> str:
    """Neither proven nor disproven."""
    figures = gated.figures
    return (
        f"not resolvable: {gated.point.where} lost {figures.lost} of {figures.probes} mates; to prove an added FNIR of "
        f"{target.added_fnir:g}, {target.needed} probes without a loss are needed; published without that proof"
    )


def refusal(gated: Gated, target: Target, exact_cost: float) -> str:
    """By how much, and what would meet it."""
    figures = gated.figures
    if gated.point.exact:
        return (
            f"the index of exact search lost {figures.lost} of {figures.probes} mates (added FNIR {figures.added_fnir:.4g}): it "
            "does not hold the rows that it was built from: not published. Remove the work folder and build again"
        )
    missed = figures.recall_at_10 < target.recall
    recall = f"recall@10 {figures.recall_at_10:.4g}, wanted {target.recall:g}; " * missed
    lower = f", quality.recall of {floor(figures.recall_at_10 * 100) / 100:g} and less" * missed
    return (
        f"{recall}added FNIR {figures.added_fnir:.4g} ({figures.lost} of {figures.probes} mates lost), bound "
        f"{figures.added_fnir_bound:.4g}, allowed {target.added_fnir:g}: not published. This is the best measured point, "
        f"{gated.point.where}. What would meet the target: recipe 'exact' (predicted {exact_cost:.0f} µs a request on one core, "
        f"this one {gated.point.cost:.0f}), or quality.added_fnir of {_above(figures.added_fnir_bound)} and more{lower}. "
        "--force publishes it all the same"
    )


def _above(bound: float) -> str:
    """The bound rounded up to two digits."""
    digits = 1 - floor(log10(bound))
    return f"{ceil(bound * 10**digits) / 10**digits:g}"
