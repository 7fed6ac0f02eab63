"""Checks an exact index that is too long to be measured: are its rows and their names those of the source?

Such an index is assembled when it is about to be chosen.  What it answers is what exact search answered, if it holds
the same rows under the same names; comparing bytes takes a second a gigabyte, searching again a minute.
"""

from __future__ import annotations

from contextlib import closing

import numpy as np

from pipeline.artifact import ArtifactCorrupt, Ids, index_prefix
from pipeline.assemble import SHARD, assemble, candidate_key
from pipeline.quality.arrays import Numbers
from pipeline.workspace import Work


def assembled(work: Work, name: str) -> None:
    """Assemble the candidate unless an earlier run did."""
    if f"assembled/{name}.json" not in work.keys("assembled/"):
        assemble(work, name)


def names(work: Work, what: str) -> closing[Ids]:
    """The index's `ids` or `people`, to be closed."""
    return closing(
        Ids.open(work.bucket.read(index_prefix(work.spec.label, work.spec.index_id) + SHARD + f"{what}.dat"))
    )


def misplaced(work: Work, name: str) -> Numbers:
    """Rows whose stored half floats are not the source's, sorted; a partition is read at a time.

    Raises ArtifactCorrupt when the file cannot hold the rows.
    """
    key, width = candidate_key(work, name), 2 * work.spec.dim
    first = work.bucket.size(key) - work.total() * width
    if first < 0:
        raise ArtifactCorrupt(
            f"{key}: expected {work.total()} rows of {width} bytes, got {work.bucket.size(key)} bytes: remove the work folder"
        )
    wrong: list[Numbers] = []
    for part, count in enumerate(work.census()["kept"]):
        start = work.first(part)
        stored = np.frombuffer(work.bucket.read_range(key, first + start * width, count * width), np.uint8)
        source = np.ascontiguousarray(work.rows(part), np.float16).view(np.uint8)
        wrong.append(start + np.flatnonzero((stored.reshape(count, width) != source).any(axis=1)))
    return np.concatenate(wrong)
