"""What a threshold costs an operator: false alarms a day, missed mates, non-mates that a rarer alarm needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.quality.bounds import interval, needed, upper_bound
from pipeline.quality.reading import Report

ERRORS_TO_MEASURE = 30
"""Events from which a rate is known to within 30 % at 90 % confidence: the rule of 30 (Doddington and others, Speech
Communication 31, 2000; ISO/IEC 19795-1)."""

Ends = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a day brings."""

    searches: float
    """Searches a day."""
    mated: float
    """Share of them whose person is in the list."""

    def __post_init__(self) -> None:
        """Raise ValueError for what no day brings."""
        if self.searches <= 0 or not 0 <= self.mated <= 1:
            raise ValueError(
                f"traffic: expected searches above 0 with a mated share of 0 to 1, got {self.searches} and {self.mated}"
            )

    @property
    def others(self) -> float:
        """Searches a day for people who are not in the list."""
        return self.searches * (1 - self.mated)


@dataclass(frozen=True, slots=True)
class Day:
    """What a threshold means, by the figures of the index; intervals are two-sided."""

    fpir: float
    """The one that was asked for."""
    threshold: float
    fpir_index: float
    fpir_between: Ends
    fnir_index: float
    fnir_between: Ends
    alarms: float
    """Searches a day for somebody who is not in the list that name somebody all the same."""
    alarms_between: Ends
    misses: float
    """Searches a day for somebody who is in the list that do not name him."""
    misses_between: Ends


def days(report: Report, traffic: Traffic) -> list[Day]:
    """A row per FPIR that the list's non-mates can tell, largest first."""
    return [_day(one, traffic) for one in report.thresholds if one["resolvable"]]


def _day(one: dict[str, Any], traffic: Traffic) -> Day:
    fpir, fnir = tuple(one["intervals"]["fpir_index"]), tuple(one["intervals"]["fnir_index"])
    mates = traffic.searches * traffic.mated
    return Day(
        one["fpir"], one["threshold"], one["fpir_index"], fpir, one["fnir_index"], fnir,
        one["fpir_index"] * traffic.others, (fpir[0] * traffic.others, fpir[1] * traffic.others),
        one["fnir_index"] * mates, (fnir[0] * mates, fnir[1] * mates),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rates:
    """Error rates of the index at a threshold, with two-sided intervals."""

    fpir: float
    fpir_between: Ends
    fnir: float
    fnir_between: Ends


def rates_at(report: Report, threshold: float) -> Rates:
    """What the report says of a threshold: of the nearest one of its curve that is not below it, or of its last."""
    at = min(int(np.searchsorted(report.det.thresholds, threshold - 1e-9)), len(report.det.thresholds) - 1)
    quality = report.data["decision"]["quality"]
    counts, rates = (quality["non_mates"], quality["probes"]), (report.det.fpir_index[at], report.det.fnir_index[at])
    ends = [
        interval(round(float(rate) * count), count, quality["confidence"])
        for rate, count in zip(rates, counts, strict=True)
    ]
    return Rates(float(rates[0]), ends[0], float(rates[1]), ends[1])


@dataclass(frozen=True, slots=True)
class Wish:
    """Which threshold keeps false alarms within a number a day."""

    fpir: float
    """Highest FPIR that the wish allows."""
    threshold: float | None
    """None where so few non-mates cannot promise it at any threshold of the curve."""
    bound: float
    """One-sided upper bound of the FPIR at that threshold; of the strictest one where there is none."""
    fnir_index: float
    fnir_between: Ends
    non_mates: int
    """Non-mates that the list was measured with."""
    non_mates_needed: int
    """Non-mates that could promise it at all, if none of them raised an alarm."""


def wish(report: Report, traffic: Traffic, alarms: float) -> Wish:
    """The lowest threshold of the curve whose FPIR is, with the report's confidence, at most `alarms` a day.

    Raises ValueError for a wish that nothing fulfils: not above 0, or a day without searches of strangers.
    """
    if alarms <= 0 or traffic.others <= 0:
        raise ValueError(
            f"alarms: expected above 0 a day among searches of strangers, got {alarms} of {traffic.others}"
        )
    quality = report.data["decision"]["quality"]
    count, probes, confidence = quality["non_mates"], quality["probes"], quality["confidence"]
    allowed = min(alarms / traffic.others, 1.0)
    least = needed(allowed, confidence) if allowed < 1 else 1
    bounds = [upper_bound(round(float(one) * count), count, confidence) for one in report.det.fpir_index]
    found = next((number for number, bound in enumerate(bounds) if bound <= allowed), None)
    at = len(bounds) - 1 if found is None else found
    fnir = float(report.det.fnir_index[at])
    return Wish(
        allowed, None if found is None else float(report.det.thresholds[at]), bounds[at], fnir,
        interval(round(fnir * probes), probes, confidence), count, least,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Needed:
    """How many non-mates an FPIR takes."""

    fpir: float
    to_see: int
    """To expect one false alarm: fewer say nothing of this rate."""
    to_bound: int
    """To show that it is no higher, if not one of them raises an alarm."""
    to_measure: int
    """To know it to within 30 %."""
    enough_for: str
    """What the list's own non-mates are enough for."""


def non_mates_needed(report: Report, fpirs: Sequence[float]) -> list[Needed]:
    """A row per FPIR."""
    quality = report.data["decision"]["quality"]
    have, confidence = quality["non_mates"], quality["confidence"]
    rows = []
    for fpir in fpirs:
        counts = _up(1 / fpir), needed(fpir, confidence), _up(ERRORS_TO_MEASURE / fpir)
        words = ("nothing", "seeing it", "bounding it", "measuring it")
        rows.append(Needed(fpir, *counts, words[sum(have >= one for one in counts)]))
    return rows


def _up(count: float) -> int:
    """The next whole number, of what division left a trace above one as well."""
    return math.ceil(count * (1 - 1e-12))
