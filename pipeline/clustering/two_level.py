"""Very many cells: k-means makes families, then the rows of each family are clustered by themselves, anywhere."""

from __future__ import annotations

import io
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
from pipeline.device.verbs import Floats, Ids
from pipeline.kmeans import Partial, fixed, spherical_of
from pipeline.stage import Item
from pipeline.workspace import Work

logger = logging.getLogger(__name__)

PER_FAMILY = 256
"""Rows that a family's centre is learned from."""

PIECES = 64
"""Items that families are spread over, at most."""

ROUNDS = 1
"""Rounds over all cells after that, in which rows may leave their family.  PLACEHOLDER."""


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
        """Families, their cells, rounds over all, each spread over items."""
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
        each = -(-self.families // PIECES)
        return [range(start, min(start + each, self.families)) for start in range(0, self.families, each)]

    def sorted(self, number: int) -> Sorted:
        """The rows sorted for a round."""
        return Sorted(f"families/{self.name}/{number}", self.learned.out)

    def piece_key(self, number: int, piece: int) -> str:
        """Where the centroids of an item's families lie."""
        return f"families/{self.name}/{number}/{piece:05d}.npy"

    def joined(self, work: Work, number: int) -> Families:
        """What a round left."""
        centroids = np.concatenate([work.load(self.piece_key(number, piece)) for piece in range(len(self.pieces()))])
        return Families(work.load(f"models/{self.first.name}.npy"), self.firsts(work), centroids)

    def firsts(self, work: Work) -> NDArray[np.int64]:
        """The number of the first cell of each family (families + 1,): each has its share by its rows."""
        ends = self.sorted(0).ends(work, len(groups(work)))
        return np.concatenate([[0], np.cumsum(apportioned(np.diff(ends).sum(axis=0), self.cells))])

    def trained(self, work: Work) -> Families:
        """The result."""
        centres = work.load(f"models/{self.first.name}.npy")
        return Families(centres, work.load(f"models/{self.name}-families.npy"), work.load(f"models/{self.name}.npy"))


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
        if not self.number:
            families, products = worker.nearest(rows, work.load(f"models/{its.first.name}.npy"))
            cells = families
        else:
            known = its.joined(work, self.number - 1)
            cells, products = known.nearest(rows, worker)
            families = known.family_of(cells)
        its.sorted(self.number).write(work, self.group, rows, (families, its.families, cells))
        logger.debug("%s, round %d: objective %d of %d rows.", its.name, self.number, fixed(products), len(rows))
        return len(rows)


@dataclass(frozen=True, slots=True)
class Split:
    """The step that makes the cells of some families, or moves them in a later round."""

    two: TwoLevel
    number: int
    piece: int

    def run(self, work: Work) -> int:
        """Write their centroids."""
        its, some = self.two, self.two.pieces()[self.piece]
        held = its.sorted(self.number).rows(work, its.sorted(self.number).ends(work, len(groups(work))), some)
        firsts = its.firsts(work)[some.start : some.stop + 1]
        before = self._before(work, firsts)
        found = [
            self._made(work, placed, before[first - firsts[0] : stop - firsts[0]], (some.start + number, int(first)))
            for number, (placed, first, stop) in enumerate(zip(held, firsts[:-1], firsts[1:], strict=True))
        ]
        work.save(its.piece_key(self.number, self.piece), np.concatenate(found))
        return sum(len(rows) for rows, _ in held)

    def _before(self, work: Work, firsts: NDArray[np.int64]) -> Floats:
        """The centroids so far, at first the centre of its family for each."""
        if self.number:
            return work.load(self.two.piece_key(self.number - 1, self.piece))
        some = self.two.pieces()[self.piece]
        return np.repeat(
            work.load(f"models/{self.two.first.name}.npy")[some.start : some.stop], np.diff(firsts), axis=0
        )

    def _made(self, work: Work, placed: tuple[Floats, Ids], before: Floats, where: tuple[int, int]) -> Floats:
        """The centroids of a family, given its number and first cell; those from before if it has no rows."""
        (rows, cells), (family, first), worker = placed, where, device(work.spec.device)
        seed = [work.spec.build.seed, self.number, family]
        if not len(rows):
            return before
        if not self.number:
            return spherical_of([rows], len(before), worker, seed=seed)[0]
        return Partial(*worker.sums(rows, cells - first, len(before)), 0).moved(seed)


@dataclass(frozen=True, slots=True)
class Join:
    """The step that writes the centroids of all families as one, holding one piece at a time."""

    two: TwoLevel

    def run(self, work: Work) -> int:
        """Write where families begin, then the centroids."""
        its = self.two
        work.save(f"models/{its.name}-families.npy", its.firsts(work))
        keys = [its.piece_key(ROUNDS, piece) for piece in range(len(its.pieces()))]
        target = f"{work.prefix}models/{its.name}.npy"
        work.bucket.write_from(target, _streamed((its.cells, its.learned.out), (work.load(key) for key in keys)))
        return its.cells


def _streamed(shape: tuple[int, int], arrays: Iterator[Floats]) -> Iterator[bytes | memoryview]:
    """A `.npy` object of float32 arrays below each other."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": shape})
    yield head.getvalue()
    for array in arrays:
        yield np.ascontiguousarray(array, "<f4").data.cast("B")
