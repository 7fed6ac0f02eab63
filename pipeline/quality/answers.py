"""What a candidate answers to the gating half."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.artifact import Ids, Point
from pipeline.assemble import built_ahead, open_candidate
from pipeline.quality.arrays import Numbers
from pipeline.quality.bounds import interval
from pipeline.quality.figures import Figures, Side
from pipeline.quality.gate import Measured
from pipeline.quality.late import assembled, misplaced, names
from pipeline.quality.measure import search
from pipeline.quality.naming import misnamed
from pipeline.quality.persons import NOBODY
from pipeline.quality.probes import GATING
from pipeline.quality.trial import Trial
from pipeline.sample import candidates
from pipeline.workspace import Work


@dataclass(frozen=True, slots=True)
class Answers:
    """Candidates of the gating half's mated probes and of all non-mated ones."""

    mates: Side
    others: Side
    misnamed: int = 0
    """Found rows that carry the name of another row."""

    def false_alarms(self, threshold: float) -> tuple[int, int]:
        """Non-mated probes whose best candidate reaches the threshold, and how many there are."""
        best = self.others.lists[0][:, 0]
        return int((best >= threshold).sum()), len(best)

    def fpir(self, threshold: float) -> float:
        """The index's own false positive identification rate."""
        alarms, probes = self.false_alarms(threshold)
        return alarms / max(probes, 1)

    def fpir_interval(self, threshold: float, confidence: float) -> tuple[float, float]:
        """Its two-sided interval."""
        return interval(*self.false_alarms(threshold), confidence)


class Gate:
    """Measures a point on the gating half, once, by the names that it would answer with."""

    def __init__(self, work: Work, trial: Trial) -> None:
        self.work = work
        self.trial = trial
        self.parts = trial.probes.part(mated=True, half=GATING), trial.probes.part(mated=False)
        self._known: dict[str, Answers] = {}

    def __call__(self, point: Measured) -> Figures:
        """Figures on the gating half's mated probes."""
        return self.trial.figures(self.parts[0], self.answers(point).mates)

    def answers(self, point: Measured) -> Answers:
        """What the point answers."""
        if point.where not in self._known:
            self._known[point.where] = self._asked(point)
        return self._known[point.where]

    def _asked(self, point: Measured) -> Answers:
        candidate = next(one for one in candidates(self.work) if one.name == point.name)
        if not built_ahead(self.work, candidate):
            return self._late(point.name)
        with open_candidate(self.work, point.name) as index:
            sides = []
            for part in self.parts:
                queries = np.ascontiguousarray(self.trial.probes.queries[part])
                where = Point(point.nprobe, point.rerank)
                found, _ = search(index, queries, self.trial.depth(part), where)
                sides.append(self.trial.answered(index, found, part, where))
            return self._checked(sides, index.ids, index.people, np.empty(0, np.int64))

    def _late(self, name: str) -> Answers:
        """Of exact search of a long list, which is assembled only now: the truth, less what it does not hold."""
        assembled(self.work, name)
        sides = [self.trial.exact(part) for part in self.parts]
        gone = misplaced(self.work, name)
        with names(self.work, "ids") as ids:
            if not self.trial.grouping.by_person:
                return self._checked(sides, ids, None, gone)
            with names(self.work, "people") as people:
                return self._checked(sides, ids, people, gone)

    def _checked(self, sides: list[Side], ids: Ids, people: Ids | None, gone: Numbers) -> Answers:
        """The answers without the rows `gone`, and without those found that carry somebody else's name."""
        numbers = np.concatenate([side.lists[1].ravel() for side in sides])
        wrong = misnamed(self.work, ids, numbers)
        if self.trial.grouping.by_person and people is not None:
            wrong = np.union1d(wrong, misnamed(self.work, people, numbers, "people"))
        bad = np.union1d(wrong, gone)
        return Answers(_without(sides[0], bad), _without(sides[1], bad), len(wrong))


def _without(side: Side, wrong: Numbers) -> Side:
    """The side without rows that are not there, or carry somebody else's name and so do not name who is looked for."""
    bad = np.isin(side.lists[1], wrong)
    people = None if side.people is None else np.where(bad, NOBODY, side.people)
    return Side((side.lists[0], np.where(bad, -1, side.lists[1])), side.mates & ~bad, people)
