"""What thresholds are set by: the curve of errors, a table of thresholds, histograms of similarities."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.quality.arrays import Flags
from pipeline.quality.bounds import interval
from pipeline.quality.scores import Scores, shares_from

FPIRS = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
DET_POINTS = 96
"""Thresholds of the curve of errors, even in the logarithm of FPIR."""
BINS = 60


def det(scores: Scores) -> dict[str, list[float]]:
    """FNIR against FPIR, from all non-mates down to one of them: lists of the same length, thresholds ascending.

    The thresholds of the table are among them.  `fpir` is what a threshold makes of exact search, `fpir_index` of the
    index; likewise `fnir_exact` and `fnir_index`.  Empty without non-mates.
    """
    count = len(scores.impostors)
    even = np.geomspace(1.0, 1 / count, DET_POINTS).tolist() if count else []
    rates = [*even, *(rate for rate in (*FPIRS, scores.fpir) if scores.resolves(rate))]
    # several rates below a few in `count` have the same threshold
    thresholds = np.unique(np.array([scores.threshold(rate) for rate in rates], np.float64))
    columns = {
        "thresholds": thresholds,
        "fpir": shares_from(scores.impostors, thresholds),
        "fpir_index": shares_from(scores.index_impostors, thresholds),
        "fnir_exact": 1 - shares_from(scores.exact, thresholds),
        "fnir_index": 1 - shares_from(scores.index, thresholds),
    }
    return {name: values.tolist() for name, values in columns.items()}


def thresholds(scores: Scores, confidence: float) -> list[dict[str, Any]]:
    """A row per FPIR, largest first: the threshold, with what exact search and the index do there.

    `intervals` are two-sided, by Clopper and Pearson.  Of an FPIR that so few non-mates cannot tell, `resolvable` is
    false and every other figure None.
    """
    return [_at(scores, fpir, confidence) for fpir in sorted({*FPIRS, scores.fpir}, reverse=True)]


def _at(scores: Scores, fpir: float, confidence: float) -> dict[str, Any]:
    names = ("fnir_exact", "fnir_index", "added_fnir", "fpir_exact", "fpir_index")
    if not scores.resolves(fpir):
        nothing = dict.fromkeys(("threshold", *names))
        return {"fpir": fpir, "resolvable": False, "intervals": dict.fromkeys(names), **nothing}
    threshold = scores.threshold(fpir)
    exact, index = scores.missed(threshold)
    events: dict[str, Flags] = dict(
        zip(
            names,
            (exact, index, ~exact & index, scores.impostors >= threshold, scores.index_impostors >= threshold),
            strict=True,
        )
    )
    return {
        "fpir": fpir,
        "resolvable": True,
        "threshold": threshold,
        **{name: share(hits) for name, hits in events.items()},
        "intervals": {name: list(interval(int(hits.sum()), len(hits), confidence)) for name, hits in events.items()},
    }


def share(hits: Flags) -> float:
    """Share of true ones; 0 of nothing."""
    return float(hits.mean()) if len(hits) else 0.0


def histograms(scores: Scores) -> dict[str, Any]:
    """Counts of exact search's similarities in 60 bins between `edges`: of best mates, of nearest impostors.

    `mates_missing` counts mated probes without a mate among their candidates, which are in no bin.
    """
    mates = scores.exact[scores.exact >= -1]
    values = np.concatenate([mates, scores.impostors])
    least = min(0.0, float(np.floor(values.min() * 10) / 10)) if len(values) else 0.0
    edges = np.linspace(least, 1, BINS + 1)
    # half floats: a row may be 1.0004 similar to itself
    counts = [np.histogram(np.clip(one, least, 1), edges)[0].tolist() for one in (mates, scores.impostors)]
    return {
        "edges": edges.tolist(),
        "mates": counts[0],
        "impostors": counts[1],
        "mates_missing": len(scores.exact) - len(mates),
    }
