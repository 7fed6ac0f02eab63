"""Rows of a shard as vectors, decoded from its files."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np

from pipeline.artifact import Manifest
from pipeline.search.codes import expect, read_index
from pipeline.search.index import Floats, Numbers


def rows_of(folder: Path, manifest: Manifest, numbers: Numbers, shard: int = 0) -> Floats:
    """The rows `numbers` (n,) as (n, d) float32 of unit norm, from the files of a shard in `folder`.

    From what re-ranks candidates, or from the exact index's own rows, so with the rounding of their stored form.
    Raises ArtifactCorrupt for files of something else.
    """
    stored = folder / "vectors.dat"
    path = stored if stored.exists() else folder / "index.dat"
    index = read_index(path, mapped=True)
    rows, dim = manifest.shards[shard].rows, manifest.descriptor.dim
    expect(index, faiss.IndexScalarQuantizer, path=path, rows=rows, dim=dim)
    size = index.code_size  # such a file ends in its codes, row after row
    codes = np.memmap(path, np.uint8, "r", offset=path.stat().st_size - rows * size, shape=(rows, size))
    vectors: Floats = index.sa_decode(np.ascontiguousarray(codes[numbers]))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
