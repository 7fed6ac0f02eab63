"""Files of faiss indexes: read only after a look at what they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import ArtifactCorrupt

STORED_FORMS = faiss.IndexScalarQuantizer | faiss.IndexFlat
"""Files of rows: quantised, or float32 as they are."""


def read_index(path: Path, *, mapped: bool = False) -> faiss.Index:
    """The faiss index in `path`; with `mapped`, its codes stay in the file.

    Raises ArtifactCorrupt when faiss cannot read it: a foreign, truncated or damaged file.
    """
    flags = faiss.IO_FLAG_MMAP_IFC if mapped else 0
    try:
        return faiss.read_index(str(path), flags)
    except RuntimeError as error:
        first = str(error).splitlines()[0].rsplit("Error:", 1)[-1].strip()
        raise ArtifactCorrupt(
            f"{path.name}: expected a faiss index, got something that it cannot read: {first}"
        ) from None


def expect(index: faiss.Index, kind: Any, *, path: Path, rows: int, dim: int) -> None:
    """Raise ArtifactCorrupt unless the index read from `path` is of this class, or one of a union, size and dimension."""
    if not isinstance(index, kind):
        name = kind.__name__ if isinstance(kind, type) else str(kind)
        raise ArtifactCorrupt(f"{path.name}: expected {name}, got {type(index).__name__}")
    if (index.ntotal, index.d) != (rows, dim):
        raise ArtifactCorrupt(f"{path.name}: expected {rows} rows of {dim}, got {index.ntotal} rows of {index.d}")


def stored_rows(path: Path, *, rows: int, dim: int) -> NDArray[np.float16]:
    """The float16 rows (rows, dim) of an exact index's file, mapped."""
    offset = _first_row(path, rows=rows, dim=dim)
    return (
        np.memmap(path, np.float16, "r", offset=offset, shape=(rows, dim)) if rows else np.empty((0, dim), np.float16)
    )


def blocks_of_rows(path: Path, *, rows: int, dim: int, size: int) -> Iterator[NDArray[np.float16]]:
    """The same rows, read `size` at a time."""
    with path.open("rb") as file:
        file.seek(_first_row(path, rows=rows, dim=dim))
        for start in range(0, rows, size):
            count = min(size, rows - start)
            yield np.fromfile(file, np.float16, count * dim).reshape(count, dim)


def _first_row(path: Path, *, rows: int, dim: int) -> int:
    """Where the rows begin: a float16 scalar-quantiser index ends in its codes, row after row, which are the rows themselves."""
    index = read_index(path, mapped=True)
    expect(index, faiss.IndexScalarQuantizer, path=path, rows=rows, dim=dim)
    if index.sq.qtype != faiss.ScalarQuantizer.QT_fp16:
        raise ArtifactCorrupt(f"{path.name}: expected float16 rows, got scalar quantiser type {index.sq.qtype}")
    return path.stat().st_size - rows * dim * 2
