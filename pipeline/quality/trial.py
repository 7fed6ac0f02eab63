"""Probes with the answers of exact search: what every candidate is compared with."""

from __future__ import annotations

import io

import numpy as np

from pipeline.artifact import Point
from pipeline.device.choose import device
from pipeline.errors import BuildError
from pipeline.quality.arrays import Lists, Numbers
from pipeline.quality.figures import RECALL_AT, Figures, Rule, Side, compare, threshold_at
from pipeline.quality.grouping import PERSON, Grouping
from pipeline.quality.making import gallery_persons
from pipeline.quality.measure import Searched
from pipeline.quality.people_truth import exact_people
from pipeline.quality.persons import Persons
from pipeline.quality.probes import CHOOSING, ProbeSet
from pipeline.quality.truth import exact_block, mates_in, ordered
from pipeline.search.people import deepened
from pipeline.workspace import Work


class Trial:
    """Read once per task; `part` arguments are positions of probes.

    The threshold comes from exact search and the non-mates of both halves: no candidate has a say in it.
    """

    def __init__(self, work: Work) -> None:
        quality = work.spec.quality
        self.probes = ProbeSet.load(work)
        self.persons = gallery_persons(work)
        self.grouping = grouping_of(work, self.persons)
        self._exact = self._merged(work)
        best = self.exact(self.probes.part(mated=False)).lists[0][:, 0]
        self.fpir = quality.fpir
        self.rule = Rule(threshold_at(best, quality.fpir), quality.k, quality.confidence)

    def _merged(self, work: Work) -> Lists:
        depth = self.grouping.k if self.grouping.by_person else depth_of_truth(self.probes, work.spec.quality.k)
        total: Lists | None = None
        for key in work.keys("truth/"):
            with np.load(io.BytesIO(work.read(key))) as arrays:
                found = arrays["similarities"], arrays["numbers"]
            total = self.grouping.joined(total, found, depth) if total else ordered(found, depth)
        if total is None:
            raise BuildError("truth: expected the answers of exact search, got none; was the work folder changed?")
        return total

    def choosing(self) -> Numbers:
        """Mated probes of the choosing half; those that gate where one labelled person is all there is."""
        part = self.probes.part(mated=True, half=CHOOSING)
        return part if len(part) else self.probes.part(mated=True)

    def templates(self, part: Numbers) -> Numbers:
        """(p,) rows of each probe's person that may be found: all but the probe itself."""
        own = (self.probes.own[part] >= 0).astype(np.int64)
        return self.persons.rows_of(self.probes.person[part]) - own

    def depth(self, part: Numbers) -> int:
        """Rows that an index is asked for, so that enough are left when what does not count is dropped."""
        return self.probes.depth(part, self.grouping.rows)

    def exact(self, part: Numbers) -> Side:
        """What exact search answers."""
        return self.side((self._exact[0][part], self._exact[1][part]), part)

    def side(self, found: Lists, part: Numbers) -> Side:
        """The candidates among the rows (p, any depth) that were found for these probes."""
        lists = self.grouping.candidates(found, self.probes, part)
        people = self.persons.of(lists[1]) if self.grouping.by_person else None
        return Side(lists, mates_in(lists[1], self.probes, part, self.persons), people)

    def found(self, index: Searched, found: Lists, part: Numbers, point: Point) -> Lists:
        """What a shard whose first search for these probes found `found` has to say: as a matcher answers.

        Rows as they are; where candidates are people, of each the best row, searched for as deep as it takes.
        """
        if not self.grouping.by_person:
            return found
        queries = self.probes.queries[part]

        def search(todo: Numbers, depth: int) -> Lists:
            return index.search(np.ascontiguousarray(queries[todo]), depth, point=point)

        def judge(todo: Numbers, rows: Lists) -> Lists:
            return self.grouping.candidates(rows, self.probes, part[todo])

        return deepened(found, judge, search, self.grouping.k, index.rows)

    def joined(self, total: Lists | None, found: Lists) -> Lists:
        """What another shard has found beside what is known."""
        return self.grouping.joined(total, found, found[0].shape[1]) if total else found

    def figures(self, part: Numbers, index: Side) -> Figures:
        """Figures of an index's answers."""
        return compare(self.exact(part), index, self.rule)


def grouping_of(work: Work, persons: Persons) -> Grouping:
    """How found rows become lists of candidates, by the spec."""
    quality = work.spec.quality
    return Grouping(persons, max(quality.k, RECALL_AT), quality.group_by == PERSON)


def partition_truth(work: Work, number: int) -> Lists:
    """What exact search of all probes finds in one partition: rows (p, depth), or of people (p, k) what counts."""
    probes, rows = ProbeSet.load(work), work.rows(number).astype(np.float32)
    worker, first = device(work.spec.device), work.first(number)
    if work.spec.quality.group_by == PERSON:
        return exact_people(worker, rows, first, probes, grouping_of(work, gallery_persons(work)))
    return exact_block(worker, probes.queries, rows, first, depth_of_truth(probes, work.spec.quality.k))


def depth_of_truth(probes: ProbeSet, k: int) -> int:
    """Rows that exact search keeps of every probe."""
    return probes.depth(np.arange(len(probes.own)), max(k, RECALL_AT))
