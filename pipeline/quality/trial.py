"""Probes with the answers of exact search: what every candidate is compared with."""

from __future__ import annotations

import io

import numpy as np

from pipeline.errors import BuildError
from pipeline.quality.arrays import Lists, Numbers
from pipeline.quality.figures import RECALL_AT, Figures, Rule, Side, compare, threshold_at
from pipeline.quality.making import gallery_persons
from pipeline.quality.probes import CHOOSING, ProbeSet
from pipeline.quality.truth import candidates, mates_in, merged, ordered
from pipeline.workspace import Work


class Trial:
    """Read once per task; `part` arguments are positions of probes.

    The threshold comes from exact search and the non-mates of both halves: no candidate has a say in it.
    """

    def __init__(self, work: Work) -> None:
        quality = work.spec.quality
        self.probes = ProbeSet.from_bytes(work.read("probes.npz"))
        self.persons = gallery_persons(work)
        self.width = max(quality.k, RECALL_AT)
        self._exact = self._merged(work)
        best = self.exact(self.probes.part(mated=False)).lists[0][:, 0]
        self.fpir = quality.fpir
        self.rule = Rule(threshold_at(best, quality.fpir), quality.k, quality.confidence)

    def _merged(self, work: Work) -> Lists:
        depth = depth_of_truth(self.probes, work.spec.quality.k)
        total: Lists | None = None
        for key in work.keys("truth/"):
            with np.load(io.BytesIO(work.read(key))) as arrays:
                found = arrays["similarities"], arrays["numbers"]
            total = merged(total, found, depth) if total else ordered(found, depth)
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
        return self.probes.depth(part, self.width)

    def exact(self, part: Numbers) -> Side:
        """What exact search answers."""
        return self.side((self._exact[0][part], self._exact[1][part]), part)

    def side(self, found: Lists, part: Numbers) -> Side:
        """The candidates among the rows (p, any depth) that were found for these probes."""
        lists = candidates(found, self.probes, part, self.persons, self.width)
        return Side(lists, mates_in(lists[1], self.probes, part, self.persons))

    def figures(self, part: Numbers, index: Side) -> Figures:
        """Figures of an index's answers."""
        return compare(self.exact(part), index, self.rule)


def depth_of_truth(probes: ProbeSet, k: int) -> int:
    """Rows that exact search keeps of every probe."""
    return probes.depth(np.arange(len(probes.own)), max(k, RECALL_AT))
