"""Every row is compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.artifact import Memory, Point
from pipeline.recipes import costs
from pipeline.recipes.candidate import Candidate, Facts
from pipeline.recipes.models import Model
from pipeline.recipes.recipe import Recipe
from pipeline.search.assembly import RowCoder
from pipeline.sharding import Extent, pieces
from pipeline.workspace import Work


class Exact(Recipe):
    """float16 rows in the file, float32 in a CPU's memory, float16 in a GPU's."""

    name = "exact"

    def candidates(self, facts: Facts) -> Sequence[Candidate]:
        """One, without parameters."""
        return [Candidate("exact", self.name, facts.rows, facts.dim, {}, (Point(0, 0),))]

    def cost(self, candidate: Candidate, point: Point) -> float:
        """See `Recipe.cost`."""
        return costs.exact(candidate.rows, candidate.dim)

    def alone(self, candidate: Candidate, point: Point) -> float:
        """See `Recipe.alone`."""
        return costs.exact_alone(candidate.rows, candidate.dim)

    def memory(self, candidate: Candidate) -> Memory:
        """See `Recipe.memory`."""
        return Memory(anonymous=candidate.rows * candidate.dim * 4, mapped=16 * candidate.rows)

    def models(self, candidate: Candidate) -> Sequence[Model]:
        """Nothing is trained."""
        return ()

    def index_file(self, work: Work, candidate: Candidate, extent: Extent) -> Iterator[memoryview]:
        """A header, then the rows of each partition."""
        yield memoryview(RowCoder("float16", work.spec.dim, np.empty(0, np.float32)).header(extent.rows))
        for piece in pieces(work.census()["kept"], extent):
            yield np.ascontiguousarray(work.rows(piece.partition)[piece.rows], np.float16).data.cast("B")
