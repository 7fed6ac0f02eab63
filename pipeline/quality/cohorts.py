"""How groups of mated probes fare: by the rows that their person has, by their nearest look-alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.quality.arrays import Flags, Floats, Numbers
from pipeline.quality.bounds import interval
from pipeline.quality.figures import Rule, Side, recalls
from pipeline.quality.tables import share

TEMPLATES = ((1, 1), (2, 2), (3, 5), (6, 10), (11, None))
"""Groups by how many rows of the person may be found: from, to."""

QUARTERS = ("least alike quarter", "second quarter", "third quarter", "most alike quarter")


def cohorts(exact: Side, index: Side, templates: Numbers, rule: Rule) -> list[dict[str, Any]]:
    """A row per group of mated probes that is not empty: FNIR of both, what is added, recall@10, two-sided intervals.

    `templates` (p,) is how many rows of each probe's person may be found.  `by` says what the groups are made by.
    """
    ours, theirs = (~side.accepted(rule.threshold, rule.k) for side in (exact, index))
    recall = recalls(exact, index)
    rows = []
    for by, cohort, members in (*_by_templates(templates), *_by_impostor(nearest_impostor(exact))):
        if not members.any():
            continue
        events = {"fnir_exact": ours[members], "fnir_index": theirs[members], "added_fnir": (~ours & theirs)[members]}
        rows.append({
            "by": by,
            "cohort": cohort,
            "probes": int(members.sum()),
            **{name: share(hits) for name, hits in events.items()},
            "recall_at_10": float(recall[members].mean()),
            "intervals": {
                name: list(interval(int(hits.sum()), len(hits), rule.confidence)) for name, hits in events.items()
            },
        })  # fmt: skip
    return rows


def nearest_impostor(exact: Side) -> Floats:
    """(p,) similarity of each probe's best candidate that is no mate; -1 where all are mates."""
    best: Floats = np.where(exact.mates, np.float32(-1), exact.lists[0]).max(axis=1, initial=-1)
    return best


def _by_templates(templates: Numbers) -> Iterator[tuple[str, str, Flags]]:
    for first, last in TEMPLATES:
        name = f"{first} and more" if last is None else f"{first}" if first == last else f"{first} to {last}"
        members = templates >= first if last is None else (templates >= first) & (templates <= last)
        yield "templates of the person", name, members


def _by_impostor(similarity: Floats) -> Iterator[tuple[str, str, Flags]]:
    """Quarters by rank, so that ties are split as well; none below four probes with a candidate that is no mate."""
    known = np.flatnonzero(similarity > -1)
    if len(known) < len(QUARTERS):
        return
    order = known[np.argsort(similarity[known], kind="stable")]
    for name, part in zip(QUARTERS, np.array_split(order, len(QUARTERS)), strict=True):
        members = np.zeros(len(similarity), bool)
        members[part] = True
        low, high = similarity[part[0]], similarity[part[-1]]
        yield "nearest impostor", f"{name}, {low:.2f} to {high:.2f}", members
