"""The five verbs on an NVIDIA GPU: faiss-gpu plus cupy."""

from __future__ import annotations

import faiss
import numpy as np

from pipeline.device.cpu import Cpu
from pipeline.device.gpu_codes import encodable, to_gpu, zero_based
from pipeline.device.gpu_memory import MOST, SUM_BLOCK, Plan, sums_plan, tile_bytes
from pipeline.device.gpu_session import Session, session
from pipeline.device.verbs import FIXED_POINT, Codes, Floats, Ids, check_cells, check_matrix

IN_SCRATCH: dict[str, int] = {}
"""The parts of a plan whose work goes through the scratch in tiles, however many rows there are."""


class Gpu:
    """One GPU.  Calls of several threads take turns.  What it cannot do (4-bit codes, k above 2,048) the CPU does.

    Every verb raises GpuRefused when the GPU does not answer or, with both numbers, has not the memory: bytes of a build
    depend on the device, so that nothing but sums, which are exact, could go to the CPU instead.
    """

    kind = "gpu"

    def __init__(self, number: int = 0) -> None:
        """The GPU of this number among those that the process can see; nothing of it is taken before the first verb."""
        self.number = number
        self._cpu = Cpu()

    @property
    def _session(self) -> Session:
        return session(self.number)

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
        with self._session.room(sums_plan(count, rows.shape[1])):
            total = _summed(rows, cells, count, self._session.number)
        return total, np.bincount(cells, minlength=count).astype(np.int64)

    def train_codes(self, rows: Floats, groups: int, bits: int, *, seed: int) -> Floats:
        """See `Device.train_codes`.  faiss' own training, with rows assigned on the GPU."""
        check_matrix("rows", rows)
        quantiser = faiss.ProductQuantizer(rows.shape[1], groups, bits)
        quantiser.cp.seed = seed
        with self._session.room(Plan("training of codes", IN_SCRATCH)):
            _train(quantiser, rows, self._session)
        flat: Floats = faiss.vector_to_array(quantiser.centroids)
        return flat.reshape(groups, 1 << bits, rows.shape[1] // groups)

    def encode(self, rows: Floats, codebook: Floats) -> Codes:
        """See `Device.encode`.  Raises RuntimeError when the GPU drops rows (it does so with NaN)."""
        groups, entries, width = codebook.shape
        check_matrix("rows", rows, groups * width)
        if not encodable(groups, entries) or not len(rows):
            return self._cpu.encode(rows, codebook)
        with self._session.room(Plan("encoding", {"codes": 2 * len(rows) * (groups + 4)})):  # lists grow by doubling
            copied = _encoded(rows, codebook, self._session)
        lists = copied.invlists
        kept = lists.list_size(0)
        if kept != len(rows):
            raise RuntimeError(f"encoding: expected codes of {len(rows)} rows, got {kept}; are there NaN among them?")
        codes = np.empty((kept, groups), np.uint8)
        found = faiss.rev_swig_ptr(lists.get_codes(0), kept * groups)
        codes[faiss.rev_swig_ptr(lists.get_ids(0), kept)] = found.reshape(kept, groups)
        return codes

    def knn(self, queries: Floats, rows: Floats, k: int) -> tuple[Floats, Ids]:
        """See `Device.knn`."""
        check_matrix("rows", rows)
        check_matrix("queries", queries, rows.shape[1])
        k = min(k, len(rows))
        if k > MOST or not len(queries) or not k:
            return self._cpu.knn(queries, rows, k)
        tile = tile_bytes(rows.shape[1], self._session.scratch)
        with self._session.room(Plan("exact neighbours", IN_SCRATCH)):
            return faiss.knn_gpu(  # type: ignore[no-any-return]
                self._session.resources, queries, rows, k, metric=faiss.METRIC_INNER_PRODUCT,
                device=self._session.number, vectorsMemoryLimit=tile, queriesMemoryLimit=tile,
            )  # fmt: skip


def _train(quantiser: faiss.ProductQuantizer, rows: Floats, session: Session) -> None:
    assigning = faiss.GpuIndexFlatL2(session.resources, quantiser.dsub, session.flat_config())
    quantiser.assign_index = assigning
    quantiser.train(rows)
    quantiser.assign_index = None  # it goes away at the end of this function


def _encoded(rows: Floats, codebook: Floats, session: Session) -> faiss.IndexIVFPQ:
    index = to_gpu(zero_based(codebook, 1), session)
    index.add(rows)
    return faiss.index_gpu_to_cpu(index)


def _summed(rows: Floats, cells: Ids, count: int, number: int) -> Ids:
    import cupy
    import cupyx

    with cupy.cuda.Device(number):
        total = cupy.zeros((count, rows.shape[1]), cupy.uint64)
        for start in range(0, len(rows), SUM_BLOCK):
            scaled = cupy.asarray(rows[start : start + SUM_BLOCK])
            scaled *= FIXED_POINT  # exact: a power of two
            fixed = cupy.rint(scaled, out=scaled).astype(cupy.int64).view(cupy.uint64)
            cupyx.scatter_add(total, cupy.asarray(cells[start : start + SUM_BLOCK]), fixed)
        summed: Ids = cupy.asnumpy(total).view(np.int64)
        del total
        cupy.get_default_memory_pool().free_all_blocks()  # faiss allocates beside this pool, not from it
    return summed
