"""The five verbs on an NVIDIA GPU: faiss-gpu plus cupy.  Nothing else names either."""

from __future__ import annotations

import importlib.util
from functools import cached_property
from typing import Any

import faiss
import numpy as np

from pipeline.device.cpu import Cpu, product_quantiser
from pipeline.device.verbs import FIXED_POINT, Codes, Floats, Ids, check_matrix

SCRATCH_BYTES = 1 << 30
"""Temporary memory that faiss takes from the GPU at once; its own default is 1.5 GB."""

GROUPS = (1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96)
"""Code bytes that the classic GPU IVF-PQ has kernels for."""

ENCODE_BLOCK = 1 << 18
"""Rows encoded at a time."""


def why_not() -> str:
    """Why there is no GPU to work on; empty when one answers.  Never raises."""
    if not hasattr(faiss, "StandardGpuResources"):
        return "the installed faiss is the CPU wheel (install the extra 'gpu' instead of 'cpu')"
    if importlib.util.find_spec("cupy") is None:
        return "cupy is not installed (install the extra 'gpu')"
    if faiss.get_num_gpus() == 0:
        return "faiss finds no GPU (is the NVIDIA driver installed, and is one visible in CUDA_VISIBLE_DEVICES?)"
    import cupy

    return "" if cupy.is_available() else "cupy finds no GPU (do driver and CUDA version fit the wheel?)"


class Gpu:
    """One resources object, so one host thread at a time: a Dask worker per GPU has one thread."""

    kind = "gpu"

    @cached_property
    def _resources(self) -> Any:
        resources = faiss.StandardGpuResources()
        resources.setTempMemory(SCRATCH_BYTES)
        return resources

    def nearest(self, rows: Floats, centroids: Floats) -> tuple[Ids, Floats]:
        """See `Device.nearest`."""
        similarities, numbers = self.knn(rows, centroids, 1)
        return numbers[:, 0], similarities[:, 0]

    def sums(self, rows: Floats, cells: Ids, count: int) -> tuple[Ids, Ids]:
        """See `Device.sums`.  Integer atomics: the order in which they happen cannot change a sum."""
        import cupy

        check_matrix("rows", rows)
        fixed = cupy.rint(cupy.asarray(rows).astype(cupy.float64) * FIXED_POINT).astype(cupy.int64)
        numbers = cupy.asarray(cells)
        # cupy adds atomically to uint64 but not to int64; two's complement makes the sums the same bits
        total = cupy.zeros((count, rows.shape[1]), cupy.uint64)
        cupy.add.at(total, numbers, fixed.view(cupy.uint64))
        sizes = cupy.bincount(numbers, minlength=count)
        return cupy.asnumpy(total.view(cupy.int64)), cupy.asnumpy(sizes).astype(np.int64)

    def train_codes(self, rows: Floats, groups: int, bits: int, *, seed: int) -> Floats:
        """See `Device.train_codes`.  faiss' training with its assignments done on the GPU."""
        check_matrix("rows", rows)
        quantiser = faiss.ProductQuantizer(rows.shape[1], groups, bits)
        quantiser.cp.seed = seed
        assigner = faiss.GpuIndexFlatL2(self._resources, rows.shape[1] // groups)
        quantiser.assign_index = assigner
        quantiser.train(rows)
        flat: Floats = faiss.vector_to_array(quantiser.centroids)
        return flat.reshape(groups, 1 << bits, rows.shape[1] // groups)

    def encode(self, rows: Floats, codebook: Floats) -> Codes:
        """See `Device.encode`.  8-bit codes on the GPU through an IVF-PQ of one cell; others on the CPU."""
        groups, entries, _ = codebook.shape
        if entries != 256 or groups not in GROUPS:
            return Cpu().encode(rows, codebook)
        check_matrix("rows", rows, codebook.shape[0] * codebook.shape[2])
        parts = [self._encoded(rows[start : start + ENCODE_BLOCK], codebook) for start in range(0, len(rows), ENCODE_BLOCK)]
        return np.concatenate(parts) if parts else np.empty((0, groups), np.uint8)

    def _encoded(self, rows: Floats, codebook: Floats) -> Codes:
        dim = rows.shape[1]
        coarse = faiss.IndexFlatIP(dim)
        coarse.add(np.zeros((1, dim), np.float32))
        plain = faiss.IndexIVFPQ(coarse, dim, 1, codebook.shape[0], 8, faiss.METRIC_INNER_PRODUCT)
        plain.by_residual = False
        plain.pq = product_quantiser(codebook)
        plain.is_trained = True
        config = faiss.GpuIndexIVFPQConfig()
        config.useFloat16LookupTables = codebook.shape[0] * 256 > 16_384
        index = faiss.GpuIndexIVFPQ(self._resources, plain, config)
        index.add(rows)
        back = faiss.index_gpu_to_cpu(index)
        flat: Codes = faiss.rev_swig_ptr(back.invlists.get_codes(0), len(rows) * codebook.shape[0]).copy()
        order: Ids = faiss.rev_swig_ptr(back.invlists.get_ids(0), len(rows))
        codes = np.empty((len(rows), codebook.shape[0]), np.uint8)
        codes[order] = flat.reshape(len(rows), -1)
        return codes

    def knn(self, queries: Floats, rows: Floats, k: int) -> tuple[Floats, Ids]:
        """See `Device.knn`."""
        check_matrix("queries", queries, rows.shape[1])
        check_matrix("rows", rows)
        similarities, numbers = faiss.knn_gpu(
            self._resources, queries, rows, min(k, len(rows)), metric=faiss.METRIC_INNER_PRODUCT
        )
        return similarities, numbers
