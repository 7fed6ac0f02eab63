"""The questions of a regime with what exact search answers: what every engine is compared with."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from configs.settings import Quality
from manager.bench.peers.engine import Floats, Numbers
from manager.bench.peers.kept_probes import kept
from pipeline.device.choose import device
from pipeline.quality.arrays import Lists
from pipeline.quality.bounds import lower_bound, upper_bound
from pipeline.quality.figures import RECALL_AT, Figures, Rule, Side, compare, threshold_at
from pipeline.quality.gate import Target
from pipeline.quality.persons import Persons
from pipeline.quality.truth import candidates, exact_block, mates_in, merged

ROWS = 65_536
"""Rows that exact search is done over at a time."""


class Exam:
    """Probes, their exact answers and the threshold; the definitions are those of `pipeline.quality`.

    `part` arguments are positions of mated probes, which are also those of `queries.npy`.
    """

    def __init__(self, folder: Path, quality: Quality) -> None:
        self.folder = folder
        self.probes = kept(folder)
        known = np.load(folder / "persons.npy")
        rows = np.load(folder / "gallery.npy", mmap_mode="r")
        self.rows, self.dim = rows.shape
        self.persons = Persons(known if len(known) else None, self.rows)
        self.width = max(quality.k, RECALL_AT)
        self.target = Target(quality.added_fnir, quality.confidence, quality.recall)
        with np.load(folder / "truth.npz") as truth:
            self._exact: Lists = truth["similarities"], truth["numbers"]
        best = self.side(self._exact_of(strangers := self.probes.part(mated=False)), strangers).lists[0][:, 0]
        self.rule = Rule(threshold_at(best, quality.fpir), quality.k, quality.confidence)

    def half(self, number: int) -> Numbers:
        """Positions of the mated probes of a half."""
        return self.probes.part(mated=True, half=number)

    def depth(self, part: Numbers) -> int:
        """Rows that an engine is asked for."""
        return min(int(self.probes.depth(part, self.width)), int(self.rows))

    def side(self, found: Lists, part: Numbers) -> Side:
        """The candidates among the rows (p, any depth) found for these probes."""
        lists = candidates(found, self.probes, part, self.persons, self.width)
        return Side(lists, mates_in(lists[1], self.probes, part, self.persons))

    def figures(self, found: Lists, part: Numbers) -> Figures:
        """How an engine's answers to these probes compare with those of exact search."""
        return compare(self.side(self._exact_of(part), part), self.side(found, part), self.rule)

    def nothing(self, part: Numbers) -> Lists:
        """The answers of an engine that finds nobody."""
        shape = len(part), self.width
        return np.full(shape, -1, np.float32), np.full(shape, -1, np.int64)

    def hopeless(self, figures: Figures, probes: int) -> bool:
        """Whether a point that has these figures on the first of so many probes has missed the target for certain.

        For certain: it would miss it even if it found all the others, and what was asked suffices to say so.
        """
        target, lost, asked = self.target, figures.lost, figures.probes
        if upper_bound(lost, probes, target.confidence) <= target.added_fnir:
            return False
        return asked >= target.needed or lower_bound(lost, asked, target.confidence) > target.added_fnir

    def _exact_of(self, part: Numbers) -> Lists:
        return self._exact[0][part], self._exact[1][part]


def find_truth(folder: Path, quality: Quality, told: Callable[[int, int], None]) -> float:
    """Exact search of all probes over the float32 rows, written to `truth.npz`; returns its seconds."""
    began, worker = time.monotonic(), device("cpu")
    probes = kept(folder)
    asked = probes.queries[:]
    rows = np.load(folder / "gallery.npy", mmap_mode="r")
    depth = probes.depth(np.arange(len(probes.own)), max(quality.k, RECALL_AT))
    total: Lists = np.empty((len(probes.own), 0), np.float32), np.empty((len(probes.own), 0), np.int64)
    for start in range(0, len(rows), ROWS):
        block: Floats = np.ascontiguousarray(rows[start : start + ROWS], np.float32)
        found = exact_block(worker, asked, block, start, depth)
        total = merged(total, found, depth)
        told(min(start + ROWS, len(rows)), len(rows))
    np.savez(folder / "truth.npz", similarities=total[0], numbers=total[1])
    return time.monotonic() - began
