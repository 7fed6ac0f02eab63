"""The five verbs on an NVIDIA GPU: faiss-gpu plus cupy."""

from __future__ import annotations

import faiss
import numpy as np

from pipeline.device.cpu import Cpu
from pipeline.device.gpu_codes import encodable, to_gpu, zero_based
from pipeline.device.gpu_session import DEVICE, MOST, session, why_not
from pipeline.device.verbs import FIXED_POINT, Codes, Floats, Ids, check_cells, check_matrix

__all__ = ["Gpu", "why_not"]

TILE_BYTES = 256 << 20
"""Rows, and queries, that go to the GPU at a time in a search: with their products they fit into the scratch."""

SUM_BLOCK = 32_768
"""Rows summed at a time: with their fixed-point copies 400 MiB of GPU memory at 512 dimensions."""


class Gpu:
    """One GPU.  Calls of several threads take turns.  What it cannot do (4-bit codes, k above 2,048) the CPU does."""

    kind = "gpu"

    def __init__(self) -> None:
        self._session = session()
        self._cpu = Cpu()

    def nearest(self, rows: Floats, centroids: Floats) -> tuple[Ids, Floats]:
        """See `Device.nearest`.  Which of two equally near centroids is taken is up to the GPU."""
        similarities, numbers = self.knn(rows, centroids, 1)
        return numbers[:, 0], similarities[:, 0]

    def sums(self, rows: Floats, cells: Ids, count: int) -> tuple[Ids, Ids]:
        """See `Device.sums`.

        CUDA has atomic additions of uint64 but none of int64; in two's complement they are the same addition,
        and integers make the order of atomics irrelevant.
        """
        check_matrix("rows", rows)
        check_cells(cells, len(rows), count)
        with self._session.lock:
            total = _summed(rows, cells, count)
        return total, np.bincount(cells, minlength=count).astype(np.int64)

    def train_codes(self, rows: Floats, groups: int, bits: int, *, seed: int) -> Floats:
        """See `Device.train_codes`.  faiss' own training, with rows assigned on the GPU."""
        check_matrix("rows", rows)
        quantiser = faiss.ProductQuantizer(rows.shape[1], groups, bits)
        quantiser.cp.seed = seed
        config = faiss.GpuIndexFlatConfig()
        config.device = DEVICE
        config.use_cuvs = False
        with self._session.lock:
            assigning = faiss.GpuIndexFlatL2(self._session.resources, quantiser.dsub, config)
            quantiser.assign_index = assigning
            quantiser.train(rows)
            quantiser.assign_index = None  # it goes away at the end of this block
        flat: Floats = faiss.vector_to_array(quantiser.centroids)
        return flat.reshape(groups, 1 << bits, rows.shape[1] // groups)

    def encode(self, rows: Floats, codebook: Floats) -> Codes:
        """See `Device.encode`.  Raises RuntimeError when the GPU drops rows (it does so with NaN)."""
        groups, entries, width = codebook.shape
        check_matrix("rows", rows, groups * width)
        if not encodable(groups, entries) or not len(rows):
            return self._cpu.encode(rows, codebook)
        with self._session.lock:
            index = to_gpu(zero_based(codebook, 1), self._session)
            index.add(rows)
            copied = faiss.index_gpu_to_cpu(index)
            lists = copied.invlists
            kept = lists.list_size(0)
            if kept != len(rows):
                raise RuntimeError(
                    f"encoding: expected codes of {len(rows)} rows, got {kept}; are there NaN among them?"
                )
            codes = np.empty((kept, groups), np.uint8)
            codes[faiss.rev_swig_ptr(lists.get_ids(0), kept)] = faiss.rev_swig_ptr(
                lists.get_codes(0), kept * groups
            ).reshape(kept, groups)
        return codes

    def knn(self, queries: Floats, rows: Floats, k: int) -> tuple[Floats, Ids]:
        """See `Device.knn`."""
        check_matrix("rows", rows)
        check_matrix("queries", queries, rows.shape[1])
        k = min(k, len(rows))
        if k > MOST or not len(queries) or not k:
            return self._cpu.knn(queries, rows, k)
        with self._session.lock:
            return faiss.knn_gpu(  # type: ignore[no-any-return]
                self._session.resources, queries, rows, k, metric=faiss.METRIC_INNER_PRODUCT, device=DEVICE,
                vectorsMemoryLimit=TILE_BYTES, queriesMemoryLimit=TILE_BYTES,
            )  # fmt: skip


def _summed(rows: Floats, cells: Ids, count: int) -> Ids:
    import cupy
    import cupyx

    with cupy.cuda.Device(DEVICE):
        total = cupy.zeros((count, rows.shape[1]), cupy.uint64)
        for start in range(0, len(rows), SUM_BLOCK):
            scaled = cupy.asarray(rows[start : start + SUM_BLOCK]).astype(cupy.float64) * FIXED_POINT
            fixed = cupy.rint(scaled).astype(cupy.int64).view(cupy.uint64)
            cupyx.scatter_add(total, cupy.asarray(cells[start : start + SUM_BLOCK]), fixed)
        summed: Ids = cupy.asnumpy(total).view(np.int64)
        del total
        cupy.get_default_memory_pool().free_all_blocks()  # faiss allocates beside this pool, not from it
    return summed
