"""Rounds of spherical k-means as items: groups of rows assigned anywhere, their exact sums added by one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.clustering import partial
from pipeline.clustering.projected import Learned
from pipeline.clustering.sampled import groups
from pipeline.device.choose import device
from pipeline.kmeans import ITERATIONS, Partial, picked, spherical_of, starting, unit
from pipeline.stage import Item
from pipeline.workspace import Work

logger = logging.getLogger(__name__)

TOGETHER = 2e11
"""Multiplications of all rounds up to which one item does them all: about two seconds of a core, while sending some
twenty waves of items to other nodes and waiting for each takes about one."""


@dataclass(frozen=True, slots=True)
class Lloyd:
    """A clustering: `models/{name}.npy` becomes its (cells, out) unit-norm centroids, the same done together or apart."""

    name: str
    cells: int
    learned: Learned
    together: float = TOGETHER
    """Multiplications up to which it is one item."""

    def items(self, work: Work, wave: int) -> Iterator[Item]:
        """One item, or many in waves from `wave` on."""
        if self._is_light(work):
            yield Item(self.name, Together(self), wave)
            return
        yield Item(f"{self.name}-start", Start(self), wave)
        for number in range(ITERATIONS):
            wave += 2
            for group in groups(work):
                yield Item(f"{self.name}-{number:02d}-{group.number:05d}", Assign(self, number, group.number), wave - 1)
            yield Item(f"{self.name}-{number:02d}-sum", Move(self, number), wave)

    def waves(self, work: Work) -> int:
        """Waves that the items take."""
        return 1 if self._is_light(work) else 1 + 2 * ITERATIONS

    def _is_light(self, work: Work) -> bool:
        return ITERATIONS * self.learned.count(work) * self.cells * self.learned.out <= self.together

    def seed(self, work: Work) -> list[int]:
        """What its random choices follow from."""
        return [work.spec.build.seed]

    def centroids_key(self, number: int) -> str:
        """Where the centroids lie with which a round begins."""
        return f"models/{self.name}.npy" if number == ITERATIONS else f"rounds/{self.name}/{number:02d}.npy"

    def partial_key(self, number: int, group: int) -> str:
        """Where the partial sums of a group lie."""
        return f"rounds/{self.name}/{number:02d}/{group:05d}.sums"


@dataclass(frozen=True, slots=True)
class Together:
    """The step that does all rounds, group by group as others would."""

    lloyd: Lloyd

    def run(self, work: Work) -> int:
        """Write the centroids."""
        its = self.lloyd
        parts = list(its.learned.parts(work))
        found, last = spherical_of(parts, its.cells, device(work.spec.device), seed=its.seed(work))
        work.save(its.centroids_key(ITERATIONS), found)
        logger.info("%s: %s.", its.name, last.described())
        return sum(map(len, parts))


@dataclass(frozen=True, slots=True)
class Start:
    """The step that picks the first centroids."""

    lloyd: Lloyd

    def run(self, work: Work) -> int:
        """Write them."""
        its = self.lloyd
        chosen = starting(its.learned.count(work), its.cells, its.seed(work))
        work.save(its.centroids_key(0), unit(picked(its.learned.parts(work), chosen)))
        return its.cells


@dataclass(frozen=True, slots=True)
class Assign:
    """The step that finds the cells of a group's rows in a round, and adds the rows of each."""

    lloyd: Lloyd
    number: int
    group: int

    def run(self, work: Work) -> int:
        """Write the partial sums."""
        its = self.lloyd
        rows = its.learned.of(work, groups(work)[self.group])
        found = Partial.of(rows, work.load(its.centroids_key(self.number)), device(work.spec.device))
        partial.write(work, its.partial_key(self.number, self.group), found)
        return len(rows)


@dataclass(frozen=True, slots=True)
class Move:
    """The step that ends a round: all partial sums, empty cells repaired, new centroids."""

    lloyd: Lloyd
    number: int

    def run(self, work: Work) -> int:
        """Write the centroids of the next round."""
        its = self.lloyd
        keys = [its.partial_key(self.number, group.number) for group in groups(work)]
        found = partial.added(work, keys, its.cells, its.learned.out)
        work.save(its.centroids_key(self.number + 1), found.moved([*its.seed(work), self.number]))
        if self.number == ITERATIONS - 1:
            logger.info("%s: %s.", its.name, found.described())
        return its.cells
