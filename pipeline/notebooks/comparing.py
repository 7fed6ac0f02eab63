"""What got better or worse from one version of a label to another."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.artifact import Store, read_head
from pipeline.quality.reading import Report

LESS, MORE, NEITHER = -1, 1, 0

FIGURES = (
    ("added_fnir", "added FNIR", LESS),
    ("rank1_miss", "rank-1 miss", LESS),
    ("recall_at_1", "recall@1", MORE),
    ("recall_at_10", "recall@10", MORE),
    ("index_fpir", "FPIR at the threshold", LESS),
    ("exact_fnir", "FNIR of exact search", LESS),
    ("exact_rank1_miss", "rank-1 miss of exact search", LESS),
)
"""Key in the report, name for people, which way is better.  The last two belong to list and probes, not to the index."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its two-sided interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Change:
    """A figure before and after."""

    figure: str
    before: Estimate
    after: Estimate
    difference: Estimate
    """After less before."""
    verdict: str
    """`better`, `worse`, or `not told apart` where the interval of the difference holds 0."""


def previous(store: Store, label: str, index_id: str) -> str:
    """The version that served before this one, as the head tells; the version itself where it is the first."""
    head = read_head(store, label)[0]
    known = [head.index_id, *head.previous]
    later = known.index(index_id) + 1 if index_id in known else 0
    return known[later] if later < len(known) else index_id


def changes(before: Report, after: Report) -> list[Change]:
    """Every figure that both reports have an interval of.

    The interval of a difference is recovered from those of the two figures (Zou and Donner, Statistics in Medicine
    27, 2008; for shares Newcombe's method 10, 1998).  It takes the two sets of probes for independent: where both
    versions were measured on the same ones, it is wider than need be, so that what it tells apart is different.
    """
    found = []
    for key, name, way in FIGURES:
        first, second = estimate(before, key), estimate(after, key)
        gap = difference(first, second)
        found.append(Change(name, first, second, gap, _verdict(gap, way)))
    return found


def estimate(report: Report, key: str) -> Estimate:
    """A figure of the gating half with its interval."""
    low, high = report.data["decision"]["intervals"][key]
    return Estimate(report.data["decision"]["quality"][key], low, high)


def difference(before: Estimate, after: Estimate) -> Estimate:
    """`after` less `before`; see `changes` for the interval."""
    gap = after.value - before.value
    low = gap - math.hypot(after.value - after.low, before.high - before.value)
    high = gap + math.hypot(after.high - after.value, before.value - before.low)
    return Estimate(gap, low, high)


def _verdict(gap: Estimate, way: int) -> str:
    if gap.low <= 0 <= gap.high:
        return "not told apart"
    return "better" if (gap.value > 0) == (way == MORE) else "worse"


def remarks(before: Report, after: Report) -> list[str]:
    """Why figures of the two may differ although neither index is to blame; empty where all terms are the same."""
    ids = before.manifest.index_id, after.manifest.index_id
    if ids[0] == ids[1]:
        return ["only one version is published: it is compared with itself; build the label again for a second one"]
    said = []
    for name in ("fpir", "k", "confidence", "target"):
        values = [one.data["decision"]["quality"][name] for one in (before, after)]
        if values[0] != values[1]:
            said.append(f"{name} was {values[0]}, is {values[1]}: figures that depend on it are not of the same thing")
    versions = [one.manifest.descriptor.version for one in (before, after)]
    if versions[0] != versions[1]:
        said.append(f"descriptors were of version {versions[0] or '(unnamed)'}, are of {versions[1] or '(unnamed)'}")
    if before.manifest.count != after.manifest.count:
        said.append(
            f"the list had {before.manifest.count:,} rows, has {after.manifest.count:,}: "
            "a longer list has nearer impostors, hence a higher threshold and more misses"
        )
    if before.group_by != after.group_by:
        kinds = ["people" if one.group_by else "rows" for one in (before, after)]
        said.append(f"candidates were {kinds[0]}, are {kinds[1]}")
    if before.probes["mated"] != after.probes["mated"]:
        said.append(f"mated probes were {before.probes['mated']}; are {after.probes['mated']}")
    return said
