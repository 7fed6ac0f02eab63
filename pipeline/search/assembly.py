"""Makes the faiss files that `pipeline.search.opening` reads.

`index.dat` of a coded recipe is built whole; files of rows (`vectors.dat`, and `index.dat` of the
exact recipe) are a short header followed by the codes, so that they can be streamed.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from pipeline.search.index import Floats
from pipeline.search.lists import fill

TYPES = {
    "int8": faiss.ScalarQuantizer.QT_8bit,
    "float16": faiss.ScalarQuantizer.QT_fp16,
}
"""Stored forms of a row that faiss quantises: 8 bits with a range per dimension, or half floats; float32 is as it is."""

RANGE_MARGIN = 0.05
"""Share by which the 8-bit range of a dimension is widened beyond the sample's, for rows outside the sample."""

PIECE = 8 << 20
"""Bytes of a file passed on at a time."""

_ROWS_OFFSET = 8
"""Where faiss' file of a scalar quantiser holds its number of rows: after the four letters and the int32 dimension."""


@dataclass(frozen=True, slots=True)
class RowCoder:
    """Turns rows into their stored form; `trained` is what faiss learned of their range (empty for float16)."""

    kind: str
    dim: int
    trained: Floats

    @classmethod
    def train(cls, kind: str, sample: Floats) -> RowCoder:
        """Learn from a (n, d) float32 sample."""
        if kind == "float32":
            return cls(kind, sample.shape[1], np.empty(0, np.float32))
        index = _scalar(kind, sample.shape[1])
        index.sq.rangestat, index.sq.rangestat_arg = faiss.ScalarQuantizer.RS_minmax, RANGE_MARGIN
        index.train(sample)
        return cls(kind, sample.shape[1], faiss.vector_to_array(index.sq.trained))

    def encode(self, rows: Floats) -> NDArray[np.uint8]:
        """Stored bytes (n, bytes of a row) of (n, d) float32 rows."""
        return self._index().sa_encode(rows)  # type: ignore[no-any-return]

    def header(self, rows: int) -> bytes:
        """The start of a file of `rows` rows, whose stored bytes follow it."""
        index = self._index()
        empty = bytes(faiss.serialize_index(index))
        size = struct.pack("<q", rows)
        # faiss counts bytes of quantised rows, and components of rows as they are
        stored = struct.pack("<Q", rows * (self.dim if self.kind == "float32" else index.code_size))
        return empty[:_ROWS_OFFSET] + size + empty[_ROWS_OFFSET + 8 : -8] + stored

    def _index(self) -> faiss.IndexFlatCodes:
        if self.kind == "float32":
            return faiss.IndexFlatIP(self.dim)
        index = _scalar(self.kind, self.dim)
        if len(self.trained):
            faiss.copy_array_to_vector(self.trained, index.sq.trained)
        index.is_trained = True
        return index


def _scalar(kind: str, dim: int) -> faiss.IndexScalarQuantizer:
    return faiss.IndexScalarQuantizer(dim, TYPES[kind], faiss.METRIC_INNER_PRODUCT)


@dataclass(frozen=True, slots=True)
class Model:
    """What a coded index was trained to: projection (out, d), codebook (groups, 2**bits, width), centroids (c, out)."""

    matrix: Floats
    codebook: Floats
    centroids: Floats


def coded_index(model: Model, cells: NDArray[np.int32] | None, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bytes of a coded index over all rows: codes (n, bytes), the cells of each row (n, assignments) or None for one."""
    whole, _held = _whole(model, cells, codes)
    return faiss.serialize_index(whole)  # type: ignore[no-any-return]


def coded_file(model: Model, cells: NDArray[np.int32] | None, codes: NDArray[np.uint8]) -> Iterator[memoryview]:
    """The same in chunks, by way of a temporary file, so that memory holds the codes and the index, but no third copy."""
    with tempfile.TemporaryDirectory(prefix="lim-") as folder:
        path = Path(folder) / "index.dat"
        whole, held = _whole(model, cells, codes)
        faiss.write_index(whole, str(path))
        del whole, held
        with path.open("rb") as file:
            while chunk := file.read(PIECE):
                yield memoryview(chunk)


def _whole(model: Model, cells: NDArray[np.int32] | None, codes: NDArray[np.uint8]) -> tuple[faiss.Index, object]:
    """An index with the parts that it only points to, which must outlive it.

    4-bit codes are packed for fast-scan; 8-bit codes stay as a GPU wants them.  Codes are of the projected rows
    themselves, not of residuals, so that scan and cells share them.
    """
    groups, entries, _ = model.codebook.shape
    out, bits = model.matrix.shape[0], int(entries).bit_length() - 1
    coarse = faiss.IndexFlatIP(out)
    coarse.add(model.centroids)
    plain = faiss.IndexIVFPQ(coarse, out, len(model.centroids), groups, bits, faiss.METRIC_INNER_PRODUCT)
    plain.by_residual = False
    faiss.copy_array_to_vector(np.ascontiguousarray(model.codebook).ravel(), plain.pq.centroids)
    plain.is_trained = True
    packed = faiss.IndexIVFPQFastScan(plain) if bits == 4 else plain
    fill(packed, cells, codes)
    projection = faiss.LinearTransform(model.matrix.shape[1], out, False)
    faiss.copy_array_to_vector(np.ascontiguousarray(model.matrix).ravel(), projection.A)
    projection.is_trained = True
    whole = faiss.IndexPreTransform(projection, packed)
    return whole, (coarse, plain, packed, projection)
