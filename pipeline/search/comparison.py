"""Exact search over a file of stored rows, a block at a time, for work that must disturb nobody.

Rows are read, not mapped: what the page cache held before stays in it, what it did not hold is
dropped again, so a comparison of everything takes neither memory nor the pages that re-ranking needs.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import faiss
import numpy as np

from pipeline.artifact import ArtifactCorrupt
from pipeline.search.codes import expect, read_index
from pipeline.search.index import Floats, Numbers

BLOCK_BYTES = 96 << 10
"""Stored bytes of a block: a tenth of a millisecond to a half, of one core, for up to 32 queries."""

PAGE = os.sysconf("SC_PAGE_SIZE")


class Comparison:
    """The k most similar of all rows to a few queries.  `step` until it says that nothing is left."""

    def __init__(self, path: Path, queries: Floats, k: int, *, rows: int, dim: int) -> None:
        """Open a file as `pipeline.search.assembly.RowCoder` makes it; queries are (n, dim) float32, unit-norm.

        Raises ArtifactCorrupt when the file is not one of `rows` rows of `dim`.
        """
        self._decoder = read_index(path, mapped=True)  # only its header is ever touched
        expect(self._decoder, faiss.IndexFlatCodes, path=path, rows=rows, dim=dim)
        self._path, self._rows, self._size = path, rows, int(self._decoder.code_size)
        self._first = path.stat().st_size - rows * self._size  # such a file ends in its codes, row after row
        self._queries, self._done = queries, 0
        self._block = max(1, BLOCK_BYTES // self._size)
        self._buffer = np.empty((min(self._block, rows), self._size), np.uint8)
        self.similarities: Floats = np.full((len(queries), k), -np.inf, np.float32)
        """(n, k), descending, of the rows compared so far; -inf where there are fewer."""
        self.numbers: Numbers = np.full((len(queries), k), -1, np.int64)
        """Row numbers (n, k); -1 where there are fewer."""
        self._file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)  # read what is asked for, nothing ahead

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def step(self) -> bool:
        """Compare the next block; False when none is left."""
        first, last = self._done, min(self._done + self._block, self._rows)
        if first < last:
            rows = self._decoded(first, last)
            k = min(self.numbers.shape[1], len(rows))
            found, places = faiss.knn(self._queries, rows, k, metric=faiss.METRIC_INNER_PRODUCT)
            similarities = np.hstack([self.similarities, found])
            numbers = np.hstack([self.numbers, places + first])
            order = np.argsort(-similarities, axis=1, kind="stable")[:, : self.numbers.shape[1]]
            self.similarities = np.take_along_axis(similarities, order, axis=1)
            self.numbers = np.take_along_axis(numbers, order, axis=1)
        self._done = last
        return last < self._rows

    def of(self, query: int, numbers: Numbers) -> Floats:
        """Exact similarities (m,) of one query to the rows `numbers` (m,); -inf for a number that is no row."""
        found = np.full(len(numbers), -np.inf, np.float32)
        for place, number in enumerate(numbers.tolist()):
            if 0 <= number < self._rows:
                found[place] = self._decoded(number, number + 1)[0] @ self._queries[query]
        return found

    def _decoded(self, first: int, last: int) -> Floats:
        """Rows `first` to `last` as float32."""
        codes = self._buffer[: last - first]
        self._read(codes.data.cast("B"), self._first + first * self._size)
        return self._decoder.sa_decode(codes)  # type: ignore[no-any-return]

    def _read(self, buffer: memoryview, offset: int) -> None:
        """Fill the buffer from the file; the page cache holds no more of it afterwards than before."""
        have = 0
        with suppress(OSError):  # nothing of it is cached, or the file system cannot say
            have = os.preadv(self._file, [buffer], offset, os.RWF_NOWAIT)
        missing = offset + have
        while have < len(buffer):
            got = os.preadv(self._file, [buffer[have:]], offset + have)
            if not got:
                raise ArtifactCorrupt(
                    f"{self._path.name}: expected {len(buffer)} bytes at {offset}, got {have}: the file has become shorter"
                )
            have += got
        if missing < offset + have:
            # Pages that somebody has mapped and touched, as re-ranking does, are not dropped by this: the kernel keeps them.
            start = missing // PAGE * PAGE
            os.posix_fadvise(self._file, start, -(-(offset + have) // PAGE) * PAGE - start, os.POSIX_FADV_DONTNEED)
