"""8-bit codes in cells, as the classic GPU index of faiss wants them."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.artifact import Point
from pipeline.clustering.sizes import cell_count
from pipeline.recipes.candidate import Candidate, Facts
from pipeline.recipes.cells import probed
from pipeline.recipes.coded import Coded, code_parameters
from pipeline.recipes.models import Codes

GPU_GROUPS = (96, 64, 56, 48, 40, 32, 28, 24, 20, 16, 12, 8, 4, 3, 2, 1)
"""Code bytes that the classic GPU IVF-PQ accepts."""

MOST_PROBES = 2_048
"""And the largest nprobe."""


class IvfPq(Coded):
    """Built and searched on a GPU, searchable on a CPU."""

    name = "ivfpq"

    def candidates(self, facts: Facts) -> Sequence[Candidate]:
        """One, with as many code bytes as the GPU takes."""
        cells = cell_count(facts.rows)
        groups = next(size for size in GPU_GROUPS if facts.out % size == 0)
        points = tuple(
            Point(max(min(cells // share, MOST_PROBES), 1), depth) for share in (16, 8, 4) for depth in (160, 320)
        )
        parameters = code_parameters(facts, Codes(facts.out, groups, 8)) | {"nlist": cells}
        return [Candidate(self.name, self.name, facts.rows, facts.dim, parameters, points)]

    def searched(self, candidate: Candidate, point: Point) -> tuple[float, float]:
        """The probed share of the rows."""
        return probed(candidate, point)
