"""The sample in groups of parts: which rows it has, in which pieces training reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.clustering.sizes import sample_rows
from pipeline.workspace import Work

GROUP_ROWS = 8_192
"""Sampled rows of a piece of training at least: fewer would take less time than sending them to a node."""

MOST_GROUP_ROWS = 65_536
"""Rows of a piece from which it is not made larger: float32 rows of 512 dimensions take 128 MiB."""

GROUPS = 64
"""Pieces of a large sample, as long as none is above the most rows."""


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive parts of the sample, a piece of training; follows from the spec alone, not from who is there."""

    number: int
    parts: range
    """Partitions whose sampled rows belong to it."""
    first: int
    """Position of its first row in the whole sample."""
    rows: int

    def spread(self, total: int, wanted: int) -> slice | NDArray[np.int64]:
        """Which of its rows belong to `wanted` of all `total` rows of the sample, evenly spread over the list."""
        if wanted >= total:
            return slice(None)
        low, high = _before(self.first, total, wanted), _before(self.first + self.rows, total, wanted)
        return np.arange(low, high) * total // wanted - self.first


def _before(position: int, total: int, wanted: int) -> int:
    """How many of the evenly spread positions i * total // wanted lie before a position."""
    return -(-position * wanted // total)


def shares(work: Work) -> list[int]:
    """Sampled rows of each partition: as even a share of each as whole numbers allow."""
    total = work.total()
    wanted = sample_size(work)
    ends = np.cumsum([0, *work.census()["kept"]], dtype=object) * wanted // max(total, 1)
    return [int(count) for count in np.diff(ends)]


def sample_size(work: Work) -> int:
    """Rows of the whole sample."""
    return sample_rows(work.spec.build, work.total())


def groups(work: Work) -> list[Group]:
    """The pieces that training reads: consecutive parts until there are enough rows."""
    each = shares(work)
    total = sum(each)
    least = min(max(GROUP_ROWS, -(-total // GROUPS)), MOST_GROUP_ROWS)
    found: list[Group] = []
    start = first = rows = 0
    for number, count in enumerate(each, 1):
        rows += count
        # what is left at the end joins the last piece, unless it is a piece of its own
        if rows >= least and (total - first - rows >= least or number == len(each)):
            found.append(Group(len(found), range(start, number), first, rows))
            start, first, rows = number, first + rows, 0
    if rows or not found:
        found.append(Group(len(found), range(start, len(each)), first, rows))
    return found


def part_key(number: int) -> str:
    """Where the sampled rows of a partition lie."""
    return f"sample/{number:05d}.npy"


def parts_of(work: Work, group: Group) -> Iterator[NDArray[np.float16]]:
    """The sampled rows (n, d) of each partition of a group, one after the other."""
    for number in group.parts:
        yield work.load(part_key(number))


def whole_sample(work: Work) -> NDArray[np.float16]:
    """The sample (s, d), in order of the list; one part at a time beside it in memory."""
    numbers = range(work.partitions())
    first = work.load(part_key(0))
    rows = np.empty((sample_size(work), first.shape[1]), first.dtype)
    at = 0
    for number in numbers:
        part = first if not number else work.load(part_key(number))
        rows[at : at + len(part)] = part
        at += len(part)
    return rows
