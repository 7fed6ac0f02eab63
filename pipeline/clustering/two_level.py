"""Very many cells: a first k-means makes families, whose rows and cells are then worked on apart, on any node.

Clustering each family by itself first was tried and left out.  At 2,048 cells of the generator's `tree` regime its mean
similarity was .512, and after six rounds over all cells .544, while six rounds from random rows of each family gave
.545, nine .547, and k-means without families .547.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.clustering.nearby import Families
from pipeline.clustering.projected import FEW, Learned
from pipeline.clustering.rounds import Lloyd
from pipeline.clustering.sampled import groups
from pipeline.clustering.sorting import Sorted
from pipeline.device.choose import device
from pipeline.device.verbs import FIXED_POINT, Floats, Ids
from pipeline.kmeans import Partial, fixed, starting, unit
from pipeline.stage import Item
from pipeline.workspace import Work

logger = logging.getLogger(__name__)

PER_FAMILY = 256
"""Rows that a family's centre is learned from."""

PIECES = 64
"""Items that families are spread over, at most."""

LEAST_FAMILIES = 4
"""Families of an item at least."""

ROUNDS = 8
"""Rounds over all cells, in which rows change families: the tenth still gains a thousandth, for an eighth of the time."""


@dataclass(frozen=True, slots=True)
class TwoLevel:
    """`models/{name}.npy` becomes (cells, out) centroids in order of families; `-families` tells where each begins."""

    name: str
    cells: int
    learned: Learned

    @property
    def families(self) -> int:
        """As many as a family has cells."""
        return max(round(math.sqrt(self.cells)), 1)

    @property
    def first(self) -> Lloyd:
        """The clustering that makes the families."""
        few = min(self.families * PER_FAMILY, FEW)
        return Lloyd(f"{self.name}-centres", self.families, Learned(few, self.learned.out))

    def items(self, work: Work, wave: int) -> Iterator[Item]:
        """Families, then rounds: each group's rows are sorted by family, then families get their centroids."""
        yield from self.first.items(work, wave)
        wave += self.first.waves(work)
        pieces = range(len(self.pieces()))
        for number in range(ROUNDS + 1):
            for group in groups(work):
                yield Item(f"{self.name}-sort{number}-{group.number:05d}", Sort(self, number, group.number), wave)
            for piece in pieces:
                yield Item(f"{self.name}-split{number}-{piece:05d}", Split(self, number, piece), wave + 1)
            wave += 2
        yield Item(self.name, Join(self), wave)

    def pieces(self) -> list[range]:
        """The families of each item."""
        each = max(-(-self.families // PIECES), LEAST_FAMILIES)
        return [range(start, min(start + each, self.families)) for start in range(0, self.families, each)]

    def sorted(self, number: int) -> Sorted:
        """The rows sorted for a round."""
        return Sorted(f"families/{self.name}/{number}", self.learned.out)

    def piece_key(self, number: int, piece: int) -> str:
        """Where the centroids of an item's families lie."""
        return f"families/{self.name}/{number}/{piece:05d}.npy"

    def known(self, work: Work, number: int) -> Families:
        """The centroids that a round left, each in the family whose centre is nearest now."""
        pieces = [work.load(self.piece_key(number, piece)) for piece in range(len(self.pieces()))]
        return Families.of(np.concatenate(pieces), work.load(f"models/{self.first.name}.npy"))

    def trained(self, work: Work) -> Families:
        """The result."""
        centres, firsts = work.load(f"models/{self.first.name}.npy"), work.load(f"models/{self.name}-families.npy")
        return Families(centres, firsts, work.load(f"models/{self.name}.npy"))


def apportioned(rows: NDArray[np.int64], cells: int) -> NDArray[np.int64]:
    """How many of all cells each family gets: one, and of the others its share by rows, by largest remainder.

    Of equal remainders the first family's counts more.
    """
    spare, total = cells - len(rows), max(int(rows.sum()), 1)
    exact = [int(count) * spare for count in rows]
    shares = np.array([product // total for product in exact], np.int64)
    order = sorted(range(len(rows)), key=lambda family: -(exact[family] % total))
    shares[order[: spare - int(shares.sum())]] += 1
    return shares + 1


@dataclass(frozen=True, slots=True)
class Sort:
    """The step that finds the family of each of a group's rows, before a round, and writes them sorted by it."""

    two: TwoLevel
    number: int
    group: int

    def run(self, work: Work) -> int:
        """In round 0 that of the nearest centre, later that of the nearest centroid so far."""
        its, worker = self.two, device(work.spec.device)
        rows = its.learned.of(work, groups(work)[self.group])
        if self.number:
            known = its.known(work, self.number - 1)
            cells, products = known.nearest(rows, worker)
            families = known.family_of(cells)
            its.sorted(self.number - 1).delete_rows(work, self.group)  # who reads them was in the wave before
        else:
            families, products = worker.nearest(rows, work.load(f"models/{its.first.name}.npy"))
            cells = families
        its.sorted(self.number).write(work, self.group, rows, (families, its.families, cells))
        logger.info(
            "%s, round %d, group %d: mean similarity to the centroid %.4f.", its.name, self.number, self.group,
            fixed(products) / FIXED_POINT / max(len(rows), 1),
        )  # fmt: skip
        return len(rows)


@dataclass(frozen=True, slots=True)
class Split:
    """The step that chooses the first centroids of some families from their rows, or moves them in a later round."""

    two: TwoLevel
    number: int
    piece: int

    def run(self, work: Work) -> int:
        """Write their centroids."""
        its, some = self.two, self.two.pieces()[self.piece]
        ends = its.sorted(self.number).ends(work, len(groups(work)))
        before = its.known(work, self.number - 1) if self.number else self._planned(work, ends)
        found, handled = [], 0
        for family, placed in zip(some, its.sorted(self.number).rows(work, ends, some), strict=True):
            first, stop = before.firsts[family : family + 2].tolist()
            found.append(self._made(work, placed, before.centroids[first:stop], (family, first)))
            handled += len(placed[0])
        work.save(its.piece_key(self.number, self.piece), np.concatenate(found))
        return handled

    def _planned(self, work: Work, ends: NDArray[np.int64]) -> Families:
        """Before the first round: as many cells for each family as its rows deserve, all at its centre."""
        centres = work.load(f"models/{self.two.first.name}.npy")
        cells = apportioned(np.diff(ends).sum(axis=0), self.two.cells)
        return Families(centres, np.concatenate([[0], np.cumsum(cells)]), np.repeat(centres, cells, axis=0))

    def _made(self, work: Work, placed: tuple[Floats, Ids], before: Floats, where: tuple[int, int]) -> Floats:
        """The centroids of a family, given its number and first cell; those from before if it has no rows."""
        (rows, cells), (family, first) = placed, where
        seed = [work.spec.build.seed, self.number, family]
        if not len(rows):
            return before
        if not self.number:
            return unit(rows[starting(len(rows), len(before), seed)])
        return Partial(*device(work.spec.device).sums(rows, cells - first, len(before)), 0).moved(seed)


@dataclass(frozen=True, slots=True)
class Join:
    """The step that writes the centroids of all families in one order."""

    two: TwoLevel

    def run(self, work: Work) -> int:
        """Write where families begin, then the centroids."""
        its = self.two
        found = its.known(work, ROUNDS)
        work.save(f"models/{its.name}-families.npy", found.firsts)
        work.save(f"models/{its.name}.npy", found.centroids)
        return its.cells
