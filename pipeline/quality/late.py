"""Checks an exact index that is too long to be measured: are its rows and their names those of the source?

Such an index is assembled when it is about to be chosen.  What it answers is what exact search answered, if it holds
the same rows under the same names; comparing bytes takes a second a gigabyte, searching again a minute.
"""

from __future__ import annotations

import numpy as np

from pipeline.artifact import ArtifactCorrupt
from pipeline.assemble import extent_of, key_of, parts
from pipeline.quality.arrays import Numbers
from pipeline.recipes.candidate import Candidate
from pipeline.sharding import Extent, pieces
from pipeline.workspace import Work


def misplaced(work: Work, candidate: Candidate) -> Numbers:
    """Rows whose stored half floats are not the source's, sorted; a partition of a shard is read at a time.

    Raises ArtifactCorrupt when a file cannot hold its rows.
    """
    files = [part for part in parts(work, candidate) if part.what == "index"]
    return np.concatenate([_misplaced(work, key_of(work, part), extent_of(work, part)) for part in files])


def _misplaced(work: Work, key: str, extent: Extent) -> Numbers:
    width = 2 * work.spec.dim
    first = work.bucket.size(key) - extent.rows * width
    if first < 0:
        raise ArtifactCorrupt(
            f"{key}: expected {extent.rows} rows of {width} bytes, got {work.bucket.size(key)} bytes: remove the work folder"
        )
    wrong: list[Numbers] = []
    for piece in pieces(work.census()["kept"], extent):
        source = np.ascontiguousarray(work.rows(piece.partition)[piece.rows], np.float16).view(np.uint8)
        start = first + piece.place.start * width
        stored = np.frombuffer(work.bucket.read_range(key, start, source.size), np.uint8)
        different = (stored.reshape(source.shape) != source).any(axis=1)
        wrong.append(extent.first + piece.place.start + np.flatnonzero(different))
    return np.concatenate(wrong)
