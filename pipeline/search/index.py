"""An opened shard of an index: what a search needs to know of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Ids, Manifest, Memory, Point
from pipeline.search.removed import Removed

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Opened:
    """What every recipe shares: the manifest, the shard's place in it and the names of its rows."""

    manifest: Manifest
    shard: int
    ids: Ids
    people: Ids | None

    @property
    def rows(self) -> int:
        """Rows of this shard."""
        return self.manifest.shards[self.shard].rows

    @property
    def dim(self) -> int:
        """Dimension of descriptors."""
        return self.manifest.descriptor.dim

    @property
    def memory(self) -> Memory:
        """Predicted bytes of the loaded shard."""
        return self.manifest.shards[self.shard].memory


class Index(ABC):
    """A searchable shard.  Searching is thread-safe; native threads are the caller's business."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.manifest = opened.manifest
        self.ids = opened.ids
        self.people = opened.people
        self.rows = opened.rows
        self.dim = opened.dim
        self.memory = opened.memory

    def search(
        self, queries: Floats, k: int, *, point: Point | None = None, removed: Removed | None = None
    ) -> tuple[Floats, Numbers]:
        """The k most similar live rows of each query.

        queries is (n, d) float32, unit-norm, C-contiguous.  Returns similarities (n, k) float32,
        descending (inner product, so cosine), with row numbers (n, k) int64; where fewer than k
        rows are found, the number is -1 with the similarity -1.  `point` overrides the published
        operating point.  Raises ValueError for a matrix of another shape or type.
        """
        if queries.ndim != 2 or queries.shape[1] != self.dim or queries.dtype != np.float32:
            raise ValueError(f"queries: expected (n, {self.dim}) float32, got {queries.shape} {queries.dtype}")
        if k < 1:
            raise ValueError(f"k: expected at least 1, got {k}")
        similarities, numbers = self._search(np.ascontiguousarray(queries), k, point or self.manifest.point, removed)
        similarities[numbers < 0] = -1.0
        return similarities, numbers

    @abstractmethod
    def _search(self, queries: Floats, k: int, point: Point, removed: Removed | None) -> tuple[Floats, Numbers]:
        """Search as the recipe does it; numbers are -1 where nothing was found."""

    def close(self) -> None:
        """Let go of mapped files; the index cannot be searched afterwards."""
        self.ids.close()
        if self.people is not None:
            self.people.close()
