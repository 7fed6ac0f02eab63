"""Descriptors of probes in a bucket, of which only what is asked for is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipeline.quality.arrays import Floats, Numbers
from pipeline.workspace import Work

KEY = "probes.dat"
BLOCK = 2_048
"""Descriptors read at a time."""


class Queries(Protocol):
    """Descriptors (p, d) float32: an array, or something that reads them."""

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: slice | Numbers, /) -> Floats:
        """Those from one position to another, or at any positions."""
        ...


@dataclass(frozen=True, slots=True)
class StoredQueries:
    """`count` descriptors of `dim` components in the work folder: rows of float32, one after the other."""

    work: Work
    count: int
    dim: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, chosen: slice | Numbers, /) -> Floats:
        if isinstance(chosen, slice):
            start, stop, step = chosen.indices(self.count)
            return self._read(start, stop) if step == 1 else self[np.arange(start, stop, step)]
        found = np.empty((len(chosen), self.dim), np.float32)
        block = chosen // BLOCK
        for number in np.unique(block).tolist():
            here = np.flatnonzero(block == number)
            rows = chosen[here]
            first = int(rows.min())
            found[here] = self._read(first, int(rows.max()) + 1)[rows - first]
        return found

    def _read(self, start: int, stop: int) -> Floats:
        width = self.dim * 4
        data = self.work.bucket.read_range(self.work.prefix + KEY, start * width, max(stop - start, 0) * width)
        return np.frombuffer(data, np.float32).reshape(-1, self.dim)


def save(work: Work, queries: Queries) -> None:
    """Write descriptors a block at a time."""

    def blocks() -> Iterator[memoryview]:
        for start in range(0, len(queries), BLOCK):
            yield np.ascontiguousarray(queries[start : start + BLOCK]).data.cast("B")

    work.bucket.put(work.prefix + KEY, blocks())
