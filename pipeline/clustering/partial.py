"""Partial sums of k-means as an object of the bucket, written by one node, added by another a slice at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.kmeans import Partial
from pipeline.workspace import Work

SLICE_BYTES = 4 << 20
"""Bytes of sums read at a time: what is added from any number of groups takes no more beside the total."""

WORD = 8
"""Bytes of the int64 numbers of which such an object consists: sizes, the objective, sums row by row."""


def write(work: Work, key: str, partial: Partial) -> None:
    """Save a partial sum."""
    head = np.append(partial.sizes, partial.objective).astype("<i8")
    sums = np.ascontiguousarray(partial.sums, "<i8")
    work.bucket.put(work.prefix + key, (head.data.cast("B"), sums.data.cast("B")))


def added(work: Work, keys: Sequence[str], cells: int, out: int) -> Partial:
    """The sum of what lies at some keys, each of (cells, out) sums; exact, so their order is of no importance."""
    sums, head = np.zeros((cells, out), np.int64), np.zeros(cells + 1, np.int64)
    each = max(SLICE_BYTES // (out * WORD), 1)
    for key in keys:
        head += _read(work, key, 0, cells + 1)
        for start in range(0, cells, each):
            stop = min(start + each, cells)
            found = _read(work, key, cells + 1 + start * out, (stop - start) * out)
            sums[start:stop] += found.reshape(stop - start, out)
    return Partial(sums, head[:cells], int(head[cells]))


def _read(work: Work, key: str, first: int, count: int) -> NDArray[np.int64]:
    return np.frombuffer(work.bucket.read_range(work.prefix + key, first * WORD, count * WORD), "<i8")
