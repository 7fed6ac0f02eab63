"""Product codes on a GPU: faiss' inverted file over zero centroids.

The classic GPU index knows only codes of residuals, and adds the similarity of the centroid to
that of the residual.  Our codes are of the rows themselves, so the index gets centroids of zero:
a residual is then the row, and what is added is nothing.  Which cells to probe is decided beside it.
"""

from __future__ import annotations

import faiss
import numpy as np

from pipeline.device.gpu_session import Session
from pipeline.device.verbs import Floats

CODE_BYTES = (1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96)
"""Bytes of a code that the kernels exist for."""

BITS, ENTRIES = 8, 256

MOST_ROWS = 1 << 31
"""Rows whose numbers fit into 4 bytes."""

TABLE_BYTES = 48 * 1024
"""Shared memory that any GPU gives a block: the look-up tables of one query and cell must fit."""


def encodable(groups: int, entries: int) -> bool:
    """Whether the GPU has kernels for such codes."""
    return entries == ENTRIES and groups in CODE_BYTES


def zero_based(codebook: Floats, cells: int) -> faiss.IndexIVFPQ:
    """An empty CPU index of codes of rows, for a (groups, 256, width) codebook, in the form that a GPU takes."""
    groups, _, width = codebook.shape
    zeros = faiss.IndexFlatIP(groups * width)
    zeros.add(np.zeros((cells, groups * width), np.float32))
    index = faiss.IndexIVFPQ(zeros, groups * width, cells, groups, BITS, faiss.METRIC_INNER_PRODUCT)
    index.by_residual = True
    faiss.copy_array_to_vector(np.ascontiguousarray(codebook, np.float32).ravel(), index.pq.centroids)
    index.is_trained = True
    return index


def why_not_served(base: faiss.IndexPreTransform) -> str:
    """Why a GPU cannot search this CPU index, or "" when it can."""
    codes = faiss.downcast_index(base.index)
    if not isinstance(codes, faiss.IndexIVFPQ):
        return f"{type(codes).__name__} is for CPUs (a GPU wants the recipe ivfpq)"
    if codes.by_residual or not encodable(codes.pq.M, codes.pq.ksub):
        return f"{codes.pq.M} codes of {codes.pq.nbits} bits have no GPU kernels"
    return "" if codes.ntotal < MOST_ROWS else f"{codes.ntotal:,} rows are more than {MOST_ROWS:,}"


def twin(codes: faiss.IndexIVFPQ) -> faiss.IndexIVFPQ:
    """The same cells and codes over zero centroids; shares the lists of `codes`, which must outlive it."""
    groups = codes.pq.M
    codebook = faiss.vector_to_array(codes.pq.centroids).reshape(groups, ENTRIES, codes.d // groups)
    index = zero_based(codebook, codes.nlist)
    index.replace_invlists(codes.invlists, False)
    index.ntotal = codes.ntotal
    return index


def projection(base: faiss.IndexPreTransform) -> Floats:
    """The (out, d) matrix in front of the codes."""
    first = faiss.downcast_VectorTransform(base.chain.at(0))
    matrix: Floats = faiss.vector_to_array(first.A)
    return matrix.reshape(first.d_out, first.d_in)


def to_gpu(index: faiss.IndexIVFPQ, session: Session) -> faiss.GpuIndexIVFPQ:
    """A copy on the session's GPU, made inside its `room`.  Row numbers take 4 bytes each there."""
    config = faiss.GpuIndexIVFPQConfig()
    config.device = session.number
    config.use_cuvs = False
    config.indicesOptions = faiss.INDICES_32_BIT
    config.usePrecomputedTables = False  # a term of L2 distances; inner products have none
    config.useFloat16LookupTables = index.pq.M * ENTRIES * 4 > TABLE_BYTES
    return faiss.GpuIndexIVFPQ(session.resources, index, config)
