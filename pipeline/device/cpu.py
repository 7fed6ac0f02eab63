"""The five verbs on a CPU: faiss-cpu plus NumPy."""

from __future__ import annotations

import faiss
import numpy as np

from pipeline.device.nibbles import ENTRIES, nibbles
from pipeline.device.products import largest, nearest
from pipeline.device.verbs import FIXED_POINT, Codes, Floats, Ids, check_cells, check_matrix

SUM_BLOCK = 16_384
"""Rows turned into fixed point at a time: bounds the int64 copy to 64 MiB at 512 dimensions."""


class Cpu:
    """faiss-cpu.  Threads are the caller's business (`pipeline.device.threads`)."""

    kind = "cpu"

    def nearest(self, rows: Floats, centroids: Floats) -> tuple[Ids, Floats]:
        """See `Device.nearest`.  Ties go to the lower number."""
        check_matrix("rows", rows, centroids.shape[1])
        check_matrix("centroids", centroids)
        return nearest(rows, centroids)

    def sums(self, rows: Floats, cells: Ids, count: int) -> tuple[Ids, Ids]:
        """See `Device.sums`.  Sorting by cell makes each cell's sum one `reduceat` segment."""
        check_matrix("rows", rows)
        check_cells(cells, len(rows), count)
        total = np.zeros((count, rows.shape[1]), np.int64)
        sizes = np.bincount(cells, minlength=count).astype(np.int64)
        for start in range(0, len(rows), SUM_BLOCK):
            block_cells = cells[start : start + SUM_BLOCK]
            order = np.argsort(block_cells, kind="stable")
            present, firsts = np.unique(block_cells[order], return_index=True)
            # scaling by a power of two is exact, and so is rounding what has more than 24 bits before the point
            fixed = np.rint(rows[start : start + SUM_BLOCK] * np.float32(FIXED_POINT)).astype(np.int64)[order]
            total[present] += np.add.reduceat(fixed, firsts, axis=0)
        return total, sizes

    def train_codes(self, rows: Floats, groups: int, bits: int, *, seed: int) -> Floats:
        """See `Device.train_codes`.  faiss' own product quantiser training, seeded."""
        check_matrix("rows", rows)
        quantiser = faiss.ProductQuantizer(rows.shape[1], groups, bits)
        quantiser.cp.seed = seed
        quantiser.train(rows)
        flat: Floats = faiss.vector_to_array(quantiser.centroids)
        return flat.reshape(groups, 1 << bits, rows.shape[1] // groups)

    def encode(self, rows: Floats, codebook: Floats) -> Codes:
        """See `Device.encode`.  4-bit codes by products of blocks, others by faiss."""
        check_matrix("rows", rows, codebook.shape[0] * codebook.shape[2])
        if codebook.shape[1] == ENTRIES and codebook.shape[0] % 2 == 0:
            return nibbles(rows, codebook)
        codes: Codes = product_quantiser(codebook).compute_codes(rows)
        return codes

    def knn(self, queries: Floats, rows: Floats, k: int) -> tuple[Floats, Ids]:
        """See `Device.knn`."""
        check_matrix("queries", queries, rows.shape[1])
        check_matrix("rows", rows)
        return largest(queries, rows, min(k, len(rows)))


def product_quantiser(codebook: Floats) -> faiss.ProductQuantizer:
    """A faiss quantiser that holds a trained (groups, 2**bits, d / groups) codebook."""
    groups, entries, width = codebook.shape
    quantiser = faiss.ProductQuantizer(groups * width, groups, int(entries).bit_length() - 1)
    faiss.copy_array_to_vector(np.ascontiguousarray(codebook, np.float32).ravel(), quantiser.centroids)
    return quantiser
