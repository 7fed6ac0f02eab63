"""What a recipe must be able to tell, to a plan or a build."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from pipeline.artifact import Memory, Point
from pipeline.recipes.candidate import Candidate, Facts
from pipeline.recipes.models import Model
from pipeline.sharding import Extent
from pipeline.workspace import Work


class Recipe(ABC):
    """Pure but for `index_file`, which reads what the models made of each partition.

    How an index of the recipe is searched is `pipeline.search`: a matcher has nothing else.
    """

    name: str

    @abstractmethod
    def candidates(self, facts: Facts) -> Sequence[Candidate]:
        """What is worth a try for a list."""

    @abstractmethod
    def cost(self, candidate: Candidate, point: Point) -> float:
        """Predicted microseconds of one core per request in batches of 256; the same on every machine."""

    @abstractmethod
    def alone(self, candidate: Candidate, point: Point) -> float:
        """Predicted microseconds of one request that nobody shares a batch with."""

    @abstractmethod
    def memory(self, candidate: Candidate) -> Memory:
        """Predicted bytes of a loaded index: in memory of its own, and mapped from files."""

    @abstractmethod
    def models(self, candidate: Candidate) -> Sequence[Model]:
        """What must be trained, and made of each partition."""

    @abstractmethod
    def index_file(self, work: Work, candidate: Candidate, extent: Extent) -> Iterator[memoryview]:
        """The contents of `index.dat` of the shard that holds these rows."""
