"""Candidate lists of people instead of rows, as `group_by=person` is answered: of each the best row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.quality.arrays import Lists, Numbers
from pipeline.quality.persons import NOBODY, Persons
from pipeline.quality.probes import ProbeSet
from pipeline.quality.truth import candidates, merged, out_of_count, padded
from pipeline.search.people import ROWS_PER_PERSON, best_of_each

PERSON = "person"
"""The value of `quality.group_by`, and of a request's field."""


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
