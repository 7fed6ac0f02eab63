"""Stored rows, mapped: re-ranks candidates that came from elsewhere."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np

from pipeline.search.codes import STORED_FORMS, expect, read_index
from pipeline.search.index import Floats, Numbers
from pipeline.search.removed import Removed

BLOCK_BYTES = 32 << 20
"""Decoded float32 rows held at a time."""


class Stored:
    """A file of rows as `pipeline.search.assembly.RowCoder` makes it."""

    def __init__(self, path: Path, *, rows: int, dim: int) -> None:
        """Map the file; raises ArtifactCorrupt when it is not one of `rows` rows of `dim`."""
        self._index = read_index(path, mapped=True)
        expect(self._index, STORED_FORMS, path=path, rows=rows, dim=dim)
        size = self._index.code_size  # such a file ends in its codes, row after row
        self._codes = np.memmap(path, np.uint8, "r", offset=path.stat().st_size - rows * size, shape=(rows, size))

    def best(self, queries: Floats, numbers: Numbers, k: int) -> tuple[Floats, Numbers]:
        """The k most similar, (n, k), among the candidates `numbers` (n, depth) of each query; -1 is no candidate."""
        similarities = np.full(numbers.shape, -1, np.float32)
        block = max(1, BLOCK_BYTES // (numbers.shape[1] * queries.shape[1] * 4))
        for start in range(0, len(queries), block):
            part = slice(start, start + block)
            known = np.maximum(numbers[part], 0)
            rows = self._index.sa_decode(self._codes[known.ravel()]).reshape(*known.shape, -1)
            similarities[part] = (rows @ queries[part, :, None])[..., 0]
        order = np.argsort(np.where(numbers < 0, np.inf, -similarities), axis=1, kind="stable")[:, :k]
        return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(numbers, order, axis=1)

    def search(self, queries: Floats, k: int, removed: Removed | None) -> tuple[Floats, Numbers]:
        """The k most similar live rows among all: slow, and right whatever was removed."""
        parameters = None if removed is None else faiss.SearchParameters(sel=removed.selector)
        return self._index.search(queries, k, params=parameters)  # type: ignore[no-any-return]
