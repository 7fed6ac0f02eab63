"""Candidate lists of people instead of rows, as `group_by=person` is answered: of each the best row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.quality.arrays import Lists, Numbers
from pipeline.quality.persons import NOBODY, Persons
from pipeline.quality.probes import ProbeSet
from pipeline.quality.truth import candidates, merged, out_of_count, padded

PERSON = "person"
"""The value of `quality.group_by`, and of a request's field."""

ROWS_PER_PERSON = 4
"""Rows that an index is asked for per wanted person, since several of the best may be of one.

As many as the matcher fetches, so that what it loses by not fetching more is measured as well.
"""


@dataclass(frozen=True, slots=True)
class Grouping:
    """How found rows become lists of k candidates: rows, or people where `by_person`."""

    persons: Persons
    k: int
    by_person: bool = False

    @property
    def rows(self) -> int:
        """Rows that an index is asked for, beside those that do not count."""
        return self.k * (ROWS_PER_PERSON if self.by_person else 1)

    def candidates(self, found: Lists, probes: ProbeSet, part: Numbers) -> Lists:
        """What remains of found rows (p, any) for the probes `part`: the k best that count, (p, k)."""
        if not self.by_person:
            return candidates(found, probes, part, self.persons, self.k)
        similarities, numbers = padded(found, self.k)
        codes = np.where(out_of_count(numbers, probes, part, self.persons), NOBODY, self.persons.of(numbers))
        return best_of_each((similarities, numbers), codes, self.k)

    def joined(self, first: Lists, second: Lists, depth: int) -> Lists:
        """Two lists per probe as one of `depth`; a person in both keeps its better row."""
        if not self.by_person:
            return merged(first, second, depth)
        both = merged(first, second, first[0].shape[1] + second[0].shape[1])
        return best_of_each(both, self.persons.of(both[1]), depth)


def best_of_each(lists: Lists, codes: Numbers, k: int) -> Lists:
    """The first k people of candidate lists (p, any), best first: of each person only the best row.

    `codes` (p, any) says whose the rows are; NOBODY marks empty places, which stay empty and come last.
    """
    similarities, numbers = lists
    order = np.argsort(codes, axis=1, kind="stable")  # rows of one person beside each other, the best of them first
    ordered = np.take_along_axis(codes, order, axis=1)
    again = np.zeros(codes.shape, bool)
    np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    gone = again | (codes == NOBODY)
    front = np.argsort(gone, axis=1, kind="stable")[:, :k]
    empty = np.take_along_axis(gone, front, axis=1)
    kept = np.take_along_axis(similarities, front, axis=1), np.take_along_axis(numbers, front, axis=1)
    return np.where(empty, np.float32(-1), kept[0]), np.where(empty, -1, kept[1])
