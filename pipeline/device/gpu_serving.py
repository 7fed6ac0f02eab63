"""Candidates from an index that lies on a GPU."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from pipeline.device.gpu_codes import projection, to_gpu, twin
from pipeline.device.gpu_memory import BLOCK, MOST, Plan, queries_at_once
from pipeline.device.gpu_session import Session
from pipeline.device.verbs import Floats, Ids


class Flat:
    """All rows as float16: products of halves, summed in float32, so similarities are right to about 1e-3."""

    most = MOST

    def __init__(self, rows: NDArray[np.float16], session: Session, plan: Plan) -> None:
        """Copy (n, d) rows, which may be mapped.  Raises GpuRefused."""
        self._session = session
        with session.room(plan):
            self._parts, self._blocks = _blocks(rows, session)

    def nearest(self, queries: Floats, depth: int, nprobe: int) -> tuple[Floats, Ids]:
        """The `depth` most similar rows of each query; `nprobe` means nothing here."""
        at_once = queries_at_once(self._session.scratch)
        with self._session.lock:
            found = [self._parts.search(queries[i : i + at_once], depth) for i in range(0, len(queries), at_once)]
        return np.concatenate([one for one, _ in found]), np.concatenate([numbers for _, numbers in found])

    def close(self) -> None:
        """Free the memory."""
        with self._session.lock:
            del self._parts, self._blocks


class Cells:
    """8-bit product codes in cells."""

    most = MOST

    def __init__(self, base: faiss.IndexPreTransform, session: Session, plan: Plan) -> None:
        """Copy a CPU index as `pipeline.search.assembly` makes it.  Raises GpuRefused."""
        self._session = session
        codes = faiss.downcast_index(base.index)
        self._matrix = projection(base)
        self._cells = codes.nlist
        with session.room(plan):
            self._coarse, self._codes = _coarse(codes, session), to_gpu(twin(codes), session)

    def nearest(self, queries: Floats, depth: int, nprobe: int) -> tuple[Floats, Ids]:
        """The `depth` most similar rows in the `nprobe` cells nearest to each query, by their codes."""
        projected = queries @ self._matrix.T
        probed = min(nprobe, self._cells, MOST)
        with self._session.lock:
            _, cells = self._coarse.search(projected, probed)
            self._codes.nprobe = probed
            nothing = np.zeros(cells.shape, np.float32)  # codes are of rows, not of residuals: centroids add nothing
            return self._codes.search_preassigned(projected, depth, cells, nothing)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Free the memory."""
        with self._session.lock:
            del self._coarse, self._codes


def _blocks(rows: NDArray[np.float16], session: Session) -> tuple[faiss.IndexShards, list[faiss.GpuIndexFlat]]:
    """One index over all blocks, which does not own them, with the blocks."""
    parts, blocks = faiss.IndexShards(rows.shape[1], False, True), []
    for start in range(0, len(rows), BLOCK):
        config = session.flat_config(halves=True)
        block = faiss.GpuIndexFlat(session.resources, rows.shape[1], faiss.METRIC_INNER_PRODUCT, config)
        block.add(rows[start : start + BLOCK].astype(np.float32))
        blocks.append(block)
        parts.add_shard(block)
    return parts, blocks


def _coarse(codes: faiss.IndexIVFPQ, session: Session) -> faiss.GpuIndexFlat:
    """The centroids, which decide what is probed."""
    coarse = faiss.GpuIndexFlat(session.resources, codes.d, faiss.METRIC_INNER_PRODUCT, session.flat_config())
    coarse.add(codes.quantizer.reconstruct_n(0, codes.nlist))
    return coarse
