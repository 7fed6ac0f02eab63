"""Opens what was assembled of a candidate, a shard at a time."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.artifact import Ids, Point
from pipeline.assemble import assembled, key_of
from pipeline.published import provisional_manifest
from pipeline.recipes.candidate import Candidate
from pipeline.search.index import Floats, Index, Numbers
from pipeline.search.opening import open_index
from pipeline.sharding import Extent, extents
from pipeline.workspace import Work


@dataclass(frozen=True, slots=True)
class Placed:
    """A shard that answers with the build's row numbers instead of its own."""

    index: Index
    extent: Extent

    @property
    def rows(self) -> int:
        """Rows of the shard."""
        return self.extent.rows

    @property
    def ids(self) -> Ids:
        """Names of its rows."""
        return self.index.ids

    @property
    def people(self) -> Ids | None:
        """Persons of its rows."""
        return self.index.people

    def search(self, queries: Floats, k: int, *, point: Point) -> tuple[Floats, Numbers]:
        """See `Index.search`."""
        similarities, numbers = self.index.search(queries, k, point=point)
        if self.extent.first:
            numbers = np.where(numbers < 0, -1, numbers + self.extent.first)
        return similarities, numbers


def _give_back() -> None:
    """Return freed memory to the system, where its allocator can: a worker that seems full gets no more tasks."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def open_candidate(work: Work, candidate: Candidate, shard: int = 0) -> Iterator[Placed]:
    """A shard of an assembled candidate, from a folder of its own that is removed afterwards.

    Files of a bucket in a folder are linked, others downloaded.  Raises ArtifactCorrupt for a file of another size, or,
    where it is downloaded, with another checksum.
    """
    every = assembled(work, candidate)
    manifest = provisional_manifest(work, candidate, [file for _, file in every])
    with tempfile.TemporaryDirectory(prefix="lim-") as folder:
        for part, file in every:
            if part.shard == shard:
                work.bucket.place(key_of(work, part), Path(folder) / f"{part.what}.dat", expect=file)
        index = open_index(Path(folder), manifest, shard, most_mapped=work.spec.build.shard_bytes)
        try:
            yield Placed(index, extents(candidate.rows, candidate.shards)[shard])
        finally:
            index.close()
            _give_back()
