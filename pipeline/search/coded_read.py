"""Compressed search whose re-ranking rows are read from their file, for processes whose memory is limited."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import ArtifactCorrupt, Point
from pipeline.search.coded import base_parameters, once, read_codes
from pipeline.search.codes import STORED_FORMS, expect, read_index
from pipeline.search.index import Floats, Index, Numbers, Opened
from pipeline.search.removed import Removed

BLOCK_BYTES = 16 << 20
"""Decoded rows held at a time."""


class CodedRead(Index):
    """Answers as `Coded` does, but for the last bits of similarities."""

    def __init__(self, opened: Opened, index_file: Path, vectors_file: Path) -> None:
        super().__init__(opened)
        self._base = read_codes(index_file, opened)
        self._decoder = read_index(vectors_file, mapped=True)  # only its header is ever touched
        expect(self._decoder, STORED_FORMS, path=vectors_file, rows=opened.rows, dim=opened.dim)
        self._size = int(self._decoder.code_size)
        self._first = vectors_file.stat().st_size - opened.rows * self._size  # such a file ends in its rows
        self._name = vectors_file.name
        self._file = os.open(vectors_file, os.O_RDONLY)
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)  # read what is asked for, nothing ahead
        self._each = int(opened.manifest.parameters.get("assignments", 1))

    def _search(self, queries: Floats, k: int, point: Point, removed: Removed | None) -> tuple[Floats, Numbers]:
        wanted, depth = k * self._each, max(point.rerank, k) * self._each
        numbers = self._base.search(queries, depth, params=base_parameters(point, removed))[1]
        similarities = np.full(numbers.shape, -np.inf, np.float32)
        step = max(1, BLOCK_BYTES // (depth * self.dim * 4))
        for start in range(0, len(queries), step):
            self._compare(queries[start : start + step], numbers[start : start + step], similarities[start:])
        order = np.argsort(-similarities, axis=1, kind="stable")[:, :wanted]
        found = np.take_along_axis(similarities, order, axis=1), np.take_along_axis(numbers, order, axis=1)
        return found if self._each == 1 else once(found, k)

    def _compare(self, queries: Floats, numbers: Numbers, out: Floats) -> None:
        """Write the similarities (n, depth) of queries to their candidates, each row read once."""
        rows, place = np.unique(numbers, return_inverse=True)
        known = rows[rows >= 0]
        if len(known):
            vectors: Floats = self._decoder.sa_decode(self._read(known))
            place = place.reshape(numbers.shape) - (len(rows) - len(known))
            for query, places in enumerate(place):
                there = places >= 0
                out[query, there] = vectors[places[there]] @ queries[query]

    def _read(self, numbers: Numbers) -> NDArray[np.uint8]:
        """Stored bytes (n, bytes of a row) of rows in ascending order."""
        stored = np.empty((len(numbers), self._size), np.uint8)
        for place, number in enumerate(numbers.tolist()):
            at = self._first + number * self._size
            got = os.preadv(self._file, [stored[place].data], at)
            if got != self._size:
                raise ArtifactCorrupt(
                    f"{self._name}: expected {self._size} bytes at {at}, got {got}: the file has become shorter"
                )
        return stored

    def close(self) -> None:
        """See `Index.close`; the codes go as well, whoever still holds this object."""
        super().close()
        os.close(self._file)
        del self._base, self._decoder
