"""Exact search for the best people instead of the best rows."""

from __future__ import annotations

import numpy as np

from pipeline.device.verbs import Device
from pipeline.quality.arrays import Floats, Lists, Numbers
from pipeline.quality.grouping import Grouping
from pipeline.quality.probes import ProbeSet
from pipeline.quality.truth import exact_block
from pipeline.search.people import DEEPER

CANDIDATES = 1 << 23
"""Fetched rows of all probes of a step together: bounds its memory where a few people have most rows."""


def exact_people(worker: Device, rows: Floats, first: int, probes: ProbeSet, grouping: Grouping) -> Lists:
    """The k best people (p, k) of every probe among the rows (n, d) float32, numbered from `first`.

    What does not count is dropped before, so that a person's best row is the best of those that count.  Probes whose
    lists are not full are searched again, deeper, until everybody who may be found here is in them.
    """
    todo = np.arange(len(probes.own))
    shape = len(todo), grouping.k
    similarities, numbers = np.full(shape, -1, np.float32), np.full(shape, -1, np.int64)
    if not len(rows):
        return similarities, numbers
    wanted = np.minimum(reachable(probes, grouping, first, len(rows)), grouping.k)
    depth = min(probes.depth(todo, grouping.rows), len(rows))
    while len(todo):
        step = max(1, CANDIDATES // depth)
        for part in (todo[start : start + step] for start in range(0, len(todo), step)):
            found = exact_block(worker, probes.queries[part], rows, first, depth)
            similarities[part], numbers[part] = grouping.candidates(found, probes, part)
        todo = todo[(numbers[todo] >= 0).sum(axis=1) < wanted[todo]]
        if depth == len(rows):
            break
        depth = min(DEEPER * depth, len(rows))
    return similarities, numbers


def reachable(probes: ProbeSet, grouping: Grouping, first: int, count: int) -> Numbers:
    """(p,) how many people each probe may find among the `count` rows from `first`."""
    people, sizes = np.unique(grouping.persons.of(np.arange(first, first + count)), return_counts=True)
    place = np.minimum(np.searchsorted(people, probes.person), len(people) - 1)
    here = np.where(people[place] == probes.person, sizes[place], 0)
    own = (probes.own >= first) & (probes.own < first + count)
    gone = np.where(probes.mated, own & (here == 1), here > 0)
    reached: Numbers = len(people) - gone.astype(np.int64)
    return reached
