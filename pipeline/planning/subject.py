"""What is to be built, with what follows from it: recipes, pieces, samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from configs.settings import Build, Quality
from pipeline.artifact import Point
from pipeline.clustering.sampled import GROUP_ROWS, GROUPS, MOST_GROUP_ROWS
from pipeline.clustering.sizes import PER_CELL, sample_rows
from pipeline.kmeans import LEAST_PER_CELL
from pipeline.plan import EXACT_BUILT_UP_TO, propose
from pipeline.quality.bounds import needed
from pipeline.recipes.candidate import Candidate, Facts
from pipeline.recipes.known import cost, memory, recipe_of, shard_of
from pipeline.recipes.models import Model

FACES = 160 / 512
"""Share of the dimensions that a projection of face-like lists keeps: what is assumed unless somebody knows better."""

EXPECTED_SHARE, EXPECTED_DEPTH = 8, 80
"""One of so many cells probed, and so many candidates re-ranked: where face-like lists met the target in measurements.
Which recipe is published is measured by the build; this only says which one is expected."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A list with the settings by which it is indexed; sizes follow as in a build."""

    rows: int
    dim: int
    build: Build
    quality: Quality
    device: str = "cpu"
    kept: int = 0
    """Dimensions that the projection keeps; 0 = as of face-like lists."""
    people: bool = False
    """Whether the source names people."""
    value_bytes: int = 2
    """Bytes of a component in the source."""

    @property
    def out(self) -> int:
        """Dimensions that codes are made of."""
        return min(self.kept or max(round(self.dim * FACES / 32) * 32, 32), self.dim - self.dim % 2)

    @property
    def facts(self) -> Facts:
        """What the build's own plan is made from."""
        build = self.build
        return Facts(
            rows=self.rows, dim=self.dim, out=self.out, recipe=build.recipe, rerank=build.rerank, device=self.device,
            memory_limit=build.memory_limit_bytes, latency_ms=self.quality.latency_ms, assignments=build.assignments,
            shards=build.shards, shard_bytes=build.shard_bytes, partition_rows=build.partition_rows,
        )  # fmt: skip

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """What the build tries; raises PlanImpossible when nothing keeps the limits."""
        return propose(self.facts)

    @cached_property
    def chosen(self) -> Candidate:
        """The candidate that is expected to be published: the cheapest at the point that usually does.

        One with shorter codes than its recipe has at first is not expected: they find fewer of the nearest rows.
        """
        full = [one for one in self.candidates if one.name == one.recipe] or list(self.candidates)
        return min(full, key=lambda one: cost(one, expected_point(one)))

    @property
    def assembled(self) -> list[Candidate]:
        """Candidates whose files are made before the decision."""
        one = len(self.candidates) == 1
        return [it for it in self.candidates if it.recipe != "exact" or it.rows <= EXACT_BUILT_UP_TO or one]

    @cached_property
    def models(self) -> list[Model]:
        """What is trained, each once."""
        found = {model.name: model for one in self.candidates for model in recipe_of(one).models(one)}
        return list(found.values())

    @property
    def cells(self) -> int:
        """Cells of the candidates that have any."""
        return max((int(one.parameters.get("nlist", 0)) for one in self.candidates), default=0)

    @property
    def sample(self) -> int:
        """Rows that models learn from: the setting's, or, where a build would refuse so few, as many as are good."""
        wanted = sample_rows(self.build, self.rows)
        return wanted if wanted >= LEAST_PER_CELL * self.cells else min(PER_CELL * self.cells, self.rows)

    @property
    def groups(self) -> int:
        """Pieces in which training reads the sample."""
        least = min(max(GROUP_ROWS, -(-self.sample // GROUPS)), MOST_GROUP_ROWS)
        return max(min(self.sample // least, self.partitions), 1)

    @property
    def partition_rows(self) -> int:
        """Rows of a partition."""
        return min(self.build.partition_rows, self.rows)

    @property
    def partitions(self) -> int:
        """Pieces of the list."""
        return -(-self.rows // self.build.partition_rows)

    @property
    def width(self) -> int:
        """Bytes of a component of rows in the work folder."""
        return 4 if self.build.rerank == "float32" else 2

    @property
    def mates(self) -> int:
        """Mated probes of both halves."""
        quality = self.quality
        return 2 * max(quality.mated_probes, needed(quality.added_fnir, quality.confidence))

    @property
    def probes(self) -> int:
        """All probes."""
        return self.mates + 2 * min(self.quality.non_mates, self.rows)

    def shard_bytes(self, candidate: Candidate) -> int:
        """Bytes of memory of a candidate's largest shard, loaded."""
        return memory(shard_of(candidate, self.shard_rows(candidate))).anonymous

    def shard_rows(self, candidate: Candidate) -> int:
        """Rows of its largest shard."""
        return -(-self.rows // candidate.shards)


def expected_point(candidate: Candidate) -> Point:
    """See EXPECTED_SHARE."""
    if candidate.recipe == "exact":
        return candidate.points[0]
    return Point(max(candidate.parameters.get("nlist", 1) // EXPECTED_SHARE, 1), EXPECTED_DEPTH)
