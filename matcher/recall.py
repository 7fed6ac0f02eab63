"""How well live requests of one index were answered, by comparison with exact search."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from matcher.messages import Floats
from pipeline.search.bounds import upper_bound
from pipeline.search.comparison import Comparison
from pipeline.search.index import Numbers

RECALL_AT = 10
"""Candidates of a request that are compared: the recall that a build measures is of as many."""

WAITING = 32
"""Requests of one index that wait for their comparison; later ones take the place of the oldest."""

WINDOW = 1_000
"""Comparisons that the figures are of, the latest ones."""

CONFIDENCE = 0.999
"""Of the bound: it is looked at after every comparison, and an alarm for nothing costs an operator's trust."""

TIE = 1e-6
"""Similarities that differ by less are the same: sums are rounded differently."""


def depth_of(shards: int) -> int:
    """Candidates of one shard that are compared: about as many of the ten best are in each.

    Deeper ones lie further away than any of the ten best of all, and an index finds them less often, so that their
    recall would be another figure than the one that the build measured.
    """
    return -(-RECALL_AT // shards)


Results = list[tuple[float, bool]]
"""The recall of each compared request, with whether its first candidate was the exact nearest row."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A request that was answered, to be compared."""

    query: Floats
    """(dim,) float32, unit-norm."""
    numbers: Numbers
    """Row numbers that the search found, best first, at most RECALL_AT."""


@dataclass(slots=True)
class Live:
    """What is known of one index."""

    expected: float | None = None
    """The recall@10 that its build measured, against the source; None when it measured none."""
    waiting: deque[Drawn] = field(default_factory=lambda: deque(maxlen=WAITING))
    minute: int = 0
    drawn: int = 0
    """Requests drawn in that minute."""
    compared: int = 0
    recalls: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    firsts: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))
    bound: float = 1.0
    """Upper Clopper–Pearson bound of the recall."""
    alarm: bool = False
    """Whether even that bound lies below what the build measured, less the margin."""

    @property
    def recall(self) -> float:
        """Mean share of the exact nearest rows that were found."""
        return sum(self.recalls) / len(self.recalls) if self.recalls else 1.0

    @property
    def first(self) -> float:
        """Share of requests whose first candidate was the exact nearest row."""
        return sum(self.firsts) / len(self.firsts) if self.firsts else 1.0

    def add(self, results: Results, margin: float) -> bool:
        """Take in what was compared; says whether the alarm changed.

        A recall is a share of ten rows, not an event.  Its mean varies at most as much as that of events with the
        same mean, so the bound for events is a safe one: it raises no alarm that the rows themselves would not.
        """
        self.compared += len(results)
        self.recalls.extend(recall for recall, _ in results)
        self.firsts.extend(first for _, first in results)
        self.bound = upper_bound(math.ceil(sum(self.recalls) - 1e-9), len(self.recalls), CONFIDENCE)
        before = self.alarm
        self.alarm = self.expected is not None and self.bound < self.expected - margin
        return self.alarm != before

    def shown(self) -> dict[str, Any]:
        """For pages."""
        return {
            "compared": self.compared, "of_the_latest": len(self.recalls), "recall": round(self.recall, 4),
            "recall_bound": round(self.bound, 4), "recall_expected": self.expected, "first_is_exact": round(self.first, 4),
            "alarm": self.alarm,
        }  # fmt: skip


def measured_recall(quality: Mapping[str, Any]) -> float | None:
    """The recall@10 in a manifest's quality."""
    found = quality.get("recall_at_10")
    return float(found) if isinstance(found, int | float) else None


def judged(drawn: list[Drawn], exact: Comparison) -> Results:
    """The recall of each drawn request among its own number of candidates, with whether its first is the exact one.

    Rows are told apart by similarity, recomputed from the file: of two equal ones either is right.
    """
    results: Results = []
    for place, one in enumerate(drawn):
        best = exact.similarities[place][np.isfinite(exact.similarities[place])][: len(one.numbers)]
        if not len(best):
            continue
        found = exact.of(place, np.unique(one.numbers))
        hits = min(int((found >= best[-1] - TIE).sum()), len(best))
        first = bool(exact.of(place, one.numbers[:1])[0] >= best[0] - TIE)
        results.append((hits / len(best), first))
    return results
