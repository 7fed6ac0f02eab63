"""The figures of an index beside exact search, by the definitions of ISO/IEC 19795 and NIST FRTE 1:N."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.quality.arrays import Flags, Floats, Lists, Numbers
from pipeline.quality.bounds import interval, upper_bound
from pipeline.quality.persons import NOBODY

RECALL_AT = 10


def threshold_at(best: Floats, fpir: float) -> float:
    """The least threshold that at most a share `fpir` of non-mates' best similarities (n,) reaches.

    -1.0, which everything reaches, when that share is all of them or there are none.
    """
    allowed = math.floor(fpir * len(best) + 1e-9)
    if allowed >= len(best):
        return -1.0
    return float(np.nextafter(np.sort(best)[::-1][allowed], np.float32(np.inf)))


@dataclass(frozen=True, slots=True)
class Side:
    """What exact search, or an index, answers to mated probes."""

    lists: Lists
    mates: Flags
    """(p, k) which candidates are mates."""
    people: Numbers | None = None
    """(p, k) codes of the candidates' people, -1 for empty places, where candidates are people; None where rows."""

    @property
    def named(self) -> Numbers:
        """(p, k) what two sides have in common: people, or rows; -1 for empty places."""
        return self.lists[1] if self.people is None else self.people

    def accepted(self, threshold: float, k: int) -> Flags:
        """Which probes (p,) have a mate of at least the threshold's similarity among their first k."""
        hits: Flags = np.any((self.mates & (self.lists[0] >= threshold))[:, :k], axis=1)
        return hits

    @property
    def first_is_mate(self) -> Flags:
        """(p,)."""
        return self.mates[:, 0]


@dataclass(frozen=True, slots=True)
class Rule:
    """When a probe counts as found."""

    threshold: float
    k: int
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one operating point does to mated probes; every share is of `probes`."""

    probes: int
    recall_at_1: float
    """Share of probes whose exact nearest row, or person, comes first."""
    recall_at_10: float
    """Mean share of the ten exact nearest rows, or people, among ten candidates."""
    rank1_miss: float
    """Share of probes whose first candidate is not a mate."""
    exact_rank1_miss: float
    """The same of exact search."""
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


def compare(exact: Side, index: Side, rule: Rule) -> Figures:
    """Figures of the index on the same probes; without probes all shares are 0 and the bound is 1."""
    ours, theirs = (side.accepted(rule.threshold, rule.k) for side in (exact, index))
    lost, gained, count = int((ours & ~theirs).sum()), int((theirs & ~ours).sum()), len(ours)
    return Figures(
        probes=count,
        recall_at_1=_share(_same_first(exact, index)),
        recall_at_10=float(recalls(exact, index).mean()) if count else 0.0,
        rank1_miss=_share(~index.first_is_mate),
        exact_rank1_miss=_share(~exact.first_is_mate),
        exact_fnir=_share(~ours),
        lost=lost,
        gained=gained,
        added_fnir=lost / max(count, 1),
        added_fnir_bound=upper_bound(lost, count, rule.confidence),
    )


def intervals(exact: Side, index: Side, rule: Rule) -> dict[str, tuple[float, float]]:
    """Two-sided intervals of the figures: Clopper–Pearson for shares, the normal one for the mean recall@10."""
    ours, theirs = (side.accepted(rule.threshold, rule.k) for side in (exact, index))
    shares = {
        "added_fnir": ours & ~theirs,
        "exact_fnir": ~ours,
        "rank1_miss": ~index.first_is_mate,
        "exact_rank1_miss": ~exact.first_is_mate,
        "recall_at_1": _same_first(exact, index),
    }
    found = {name: interval(int(hits.sum()), len(hits), rule.confidence) for name, hits in shares.items()}
    each = recalls(exact, index)
    spread = normal_quantile(rule.confidence) * float(each.std()) / math.sqrt(max(len(each), 1)) if len(each) else 1.0
    mean = float(each.mean()) if len(each) else 0.0
    return found | {"recall_at_10": (max(mean - spread, 0.0), min(mean + spread, 1.0))}


def normal_quantile(confidence: float) -> float:
    """How many standard deviations a two-sided interval of this confidence reaches."""
    return NormalDist().inv_cdf(1 - (1 - confidence) / 2)


def recalls(exact: Side, index: Side) -> NDArray[np.float64]:
    """(p,) share of the exact ten nearest rows that are among the index's first ten."""
    ours, theirs = exact.named[:, :RECALL_AT], index.named[:, :RECALL_AT]
    real = ours != NOBODY
    hits = ((ours[:, :, None] == theirs[:, None, :]) & real[:, :, None]).any(axis=2).sum(axis=1)
    each: NDArray[np.float64] = np.where(real.any(axis=1), hits / np.maximum(real.sum(axis=1), 1), 1.0)
    return each


def _same_first(exact: Side, index: Side) -> Flags:
    same: Flags = exact.named[:, 0] == index.named[:, 0]
    return same


def _share(hits: Flags) -> float:
    return float(hits.mean()) if len(hits) else 0.0
