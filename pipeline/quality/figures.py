"""The figures of an index beside exact search, by the definitions of ISO/IEC 19795 and NIST FRTE 1:N."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.quality.arrays import Flags, Floats, Numbers, People
from pipeline.quality.probes import ProbeSet

Lists = tuple[Floats, Numbers]
"""Similarities and gallery rows (p, k), best first."""


def threshold_at(best: Floats, fpir: float) -> float:
    """The least threshold at which at most a share `fpir` of non-mates' best similarities (n,) reaches it."""
    allowed = math.floor(fpir * len(best) + 1e-9)
    if allowed >= len(best):
        return -1.0
    return float(np.nextafter(np.sort(best)[::-1][allowed], np.float32(np.inf)))


def upper_bound(events: int, trials: int, confidence: float) -> float:
    """One-sided Clopper–Pearson upper bound of a share: the p with P(X <= events | trials, p) = 1 - confidence.

    Clopper & Pearson, Biometrika 26 (1934).  Found by bisection on the binomial tail in logarithms.
    """
    if trials == 0 or events >= trials:
        return 1.0
    low, high = events / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _tail(events, trials, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _tail(events: int, trials: int, share: float) -> float:
    """P(X <= events) of a binomial distribution."""
    if share <= 0 or share >= 1:
        return 1.0 if share <= 0 else 0.0
    logs = [
        math.lgamma(trials + 1) - math.lgamma(hit + 1) - math.lgamma(trials - hit + 1)
        + hit * math.log(share) + (trials - hit) * math.log1p(-share)
        for hit in range(events + 1)
    ]  # fmt: skip
    largest = max(logs)
    return math.exp(largest) * sum(math.exp(one - largest) for one in logs)


def mates_in(lists: Lists, probes: ProbeSet, part: Numbers, people: People) -> Flags:
    """Which candidates (p, k) are of the probe's person."""
    numbers = lists[1]
    same: Flags = (people[np.maximum(numbers, 0)] == probes.person[part][:, None]) & (numbers >= 0)
    return same


def accepted(lists: Lists, mates: Flags, threshold: float) -> Flags:
    """Which probes (p,) have a mate among their candidates with at least the threshold's similarity."""
    hits: Flags = np.any(mates & (lists[0] >= threshold), axis=1)
    return hits


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one operating point does to mated probes."""

    probes: int
    recall_at_1: float
    """Share of probes whose exact nearest row comes first."""
    recall_at_10: float
    """Mean share of the ten exact nearest rows among ten candidates."""
    rank1_miss: float
    """Share of probes whose first candidate is not a mate."""
    exact_fnir: float
    """Share of probes that exact search does not accept."""
    lost: int
    """Probes that exact search accepts and the index does not."""
    gained: int
    """The reverse; never subtracted."""
    added_fnir: float
    """lost / probes: gross and paired."""
    added_fnir_bound: float
    """Its one-sided upper confidence bound."""

    def to_json(self) -> dict[str, Any]:
        """JSON fields."""
        return asdict(self)


def compare(exact: tuple[Lists, Flags], index: tuple[Lists, Flags], threshold: float, confidence: float) -> Figures:
    """Figures of the index; each side is candidate lists (p, k) with the flags of which are mates."""
    (exact_lists, exact_mates), (index_lists, index_mates) = exact, index
    ours, theirs = accepted(exact_lists, exact_mates, threshold), accepted(index_lists, index_mates, threshold)
    lost, gained, count = int((ours & ~theirs).sum()), int((theirs & ~ours).sum()), len(ours)
    return Figures(
        probes=count,
        recall_at_1=float((exact_lists[1][:, 0] == index_lists[1][:, 0]).mean()),
        recall_at_10=_recall(exact_lists[1][:, :10], index_lists[1][:, :10]),
        rank1_miss=float(1 - index_mates[:, 0].mean()),
        exact_fnir=float(1 - ours.mean()),
        lost=lost,
        gained=gained,
        added_fnir=lost / count,
        added_fnir_bound=upper_bound(lost, count, confidence),
    )


def _recall(exact: Numbers, found: Numbers) -> float:
    """Mean share of the real rows in `exact` (p, k) that are in `found` (p, k)."""
    hits = ((exact[:, :, None] == found[:, None, :]) & (exact[:, :, None] >= 0)).any(axis=2).sum()
    return float(hits / max((exact >= 0).sum(), 1))
