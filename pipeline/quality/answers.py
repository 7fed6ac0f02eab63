"""What a candidate answers to the gating half."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import reduce

import numpy as np

from pipeline.artifact import Ids, Point
from pipeline.assemble import Part, assemble_all, built_ahead, candidate_named, extent_of, key_of, parts
from pipeline.candidates import open_candidate
from pipeline.quality.arrays import Lists, Numbers
from pipeline.quality.bounds import interval
from pipeline.quality.figures import Figures, Side
from pipeline.quality.gate import Measured
from pipeline.quality.late import misplaced
from pipeline.quality.measure import search
from pipeline.quality.naming import misnamed
from pipeline.quality.persons import NOBODY
from pipeline.quality.probes import GATING
from pipeline.quality.trial import Trial
from pipeline.recipes.candidate import Candidate
from pipeline.workspace import Work

NONE: Numbers = np.empty(0, np.int64)


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
        candidate = candidate_named(self.work, point.name)
        if built_ahead(self.work, candidate):
            return self._checked(candidate, self._searched(candidate, Point(point.nprobe, point.rerank)), NONE)
        # exact search of a long list, which is assembled only now: the truth, less what it does not hold
        assemble_all(self.work, candidate)
        sides = [self.trial.exact(part) for part in self.parts]
        return self._checked(candidate, sides, misplaced(self.work, candidate))

    def _searched(self, candidate: Candidate, point: Point) -> list[Side]:
        """What the shards find together; one is open at a time."""
        total: list[Lists | None] = [None for _ in self.parts]
        for shard in range(candidate.shards):
            with open_candidate(self.work, candidate, shard) as index:
                for side, part in enumerate(self.parts):
                    queries = np.ascontiguousarray(self.trial.probes.queries[part])
                    found, _ = search(index, queries, self.trial.depth(part), point)
                    total[side] = self.trial.joined(total[side], self.trial.found(index, found, part, point))
        return [self.trial.side(lists, part) for lists, part in zip(total, self.parts, strict=True) if lists]

    def _checked(self, candidate: Candidate, sides: list[Side], gone: Numbers) -> Answers:
        """The answers without the rows `gone`, and without those found that carry somebody else's name."""
        numbers = np.concatenate([side.lists[1].ravel() for side in sides])
        named = ("ids", "people") if self.trial.grouping.by_person else ("ids",)
        files = [part for part in parts(self.work, candidate) if part.what in named]
        wrong = reduce(np.union1d, (self._misnamed(part, numbers) for part in files), NONE)
        bad = np.union1d(wrong, gone)
        return Answers(_without(sides[0], bad), _without(sides[1], bad), len(wrong))

    def _misnamed(self, part: Part, numbers: Numbers) -> Numbers:
        with closing(Ids.open(self.work.bucket.read(key_of(self.work, part)))) as names:
            return misnamed(self.work, names, numbers, part.what, extent_of(self.work, part).first)


def _without(side: Side, wrong: Numbers) -> Side:
    """The side without rows that are not there, or carry somebody else's name and so do not name who is looked for."""
    bad = np.isin(side.lists[1], wrong)
    people = None if side.people is None else np.where(bad, NOBODY, side.people)
    return Side((side.lists[0], np.where(bad, -1, side.lists[1])), side.mates & ~bad, people)
