"""Candidates from an index that lies on a GPU."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from pipeline.device.gpu_codes import projection, to_gpu, twin
from pipeline.device.gpu_session import DEVICE, MOST, session
from pipeline.device.verbs import Floats, Ids

BLOCK = 1 << 20
"""Rows of one flat index on the GPU.

A GPU index that grows copies itself, which takes twice its memory for a moment, and one that is filled
at once needs all rows as float32 on the host: 2 GiB a block at 512 dimensions are neither.
"""

LIST_SLACK = 2048
"""Bytes that CUDA may waste on one cell: two allocations, rounded up."""


def flat_bytes(rows: int, dim: int) -> int:
    """GPU memory of `rows` float16 rows."""
    return rows * dim * 2


def cells_bytes(rows: int, cells: int, groups: int, out: int) -> int:
    """GPU memory of codes of `groups` bytes with 4-byte row numbers, plus the centroids, the zeros and their copy."""
    return rows * (groups + 4) + cells * (LIST_SLACK + 3 * out * 4) + 2 * 256 * out * 4


class Flat:
    """All rows as float16: products of halves, summed in float32, so similarities are right to about 1e-3."""

    most = MOST

    def __init__(self, rows: NDArray[np.float16]) -> None:
        """Copy (n, d) rows, which may be mapped.  Raises GpuTooSmall."""
        self._session = session()
        dim = rows.shape[1]
        config = faiss.GpuIndexFlatConfig()
        config.device = DEVICE
        config.use_cuvs = False
        config.useFloat16 = True
        with self._session.lock, self._session.room("exact rows", flat_bytes(len(rows), dim)):
            self._parts = faiss.IndexShards(dim, False, True)
            self._blocks = []  # IndexShards does not own them
            for start in range(0, len(rows), BLOCK):
                part = faiss.GpuIndexFlat(self._session.resources, dim, faiss.METRIC_INNER_PRODUCT, config)
                part.add(rows[start : start + BLOCK].astype(np.float32))
                self._blocks.append(part)
                self._parts.add_shard(part)

    def nearest(self, queries: Floats, depth: int, nprobe: int) -> tuple[Floats, Ids]:
        """The `depth` most similar rows of each query; `nprobe` means nothing here."""
        with self._session.lock:
            return self._parts.search(queries, depth)  # type: ignore[no-any-return]


class Cells:
    """8-bit product codes in cells."""

    most = MOST

    def __init__(self, base: faiss.IndexPreTransform) -> None:
        """Copy a CPU index as `pipeline.search.assembly` makes it.  Raises GpuTooSmall."""
        self._session = session()
        codes = faiss.downcast_index(base.index)
        self._matrix = projection(base)
        config = faiss.GpuIndexFlatConfig()
        config.device = DEVICE
        config.use_cuvs = False
        self._cells = codes.nlist
        needed = cells_bytes(codes.ntotal, codes.nlist, codes.pq.M, codes.d)
        with self._session.lock, self._session.room("codes in cells", needed):
            self._coarse = faiss.GpuIndexFlat(self._session.resources, codes.d, faiss.METRIC_INNER_PRODUCT, config)
            self._coarse.add(codes.quantizer.reconstruct_n(0, codes.nlist))
            self._codes = to_gpu(twin(codes), self._session)

    def nearest(self, queries: Floats, depth: int, nprobe: int) -> tuple[Floats, Ids]:
        """The `depth` most similar rows in the `nprobe` cells nearest to each query, by their codes."""
        projected = queries @ self._matrix.T
        probed = min(nprobe, self._cells, MOST)
        with self._session.lock:
            _, cells = self._coarse.search(projected, probed)
            self._codes.nprobe = probed
            nothing = np.zeros(cells.shape, np.float32)  # codes are of rows, not of residuals: centroids add nothing
            return self._codes.search_preassigned(projected, depth, cells, nothing)  # type: ignore[no-any-return]
