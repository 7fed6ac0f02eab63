"""Which rows each shard of an index holds: equal ranges of the build's own order.

Shards are split by rows, not by cells: each has every centroid and about as many rows of every cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extent:
    """Rows `first` to `stop` of the build, which are numbered from 0 in their shard."""

    shard: int
    first: int
    stop: int

    @property
    def rows(self) -> int:
        """How many."""
        return self.stop - self.first


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one partition that one shard holds."""

    partition: int
    rows: slice
    """Of the partition's kept rows."""
    place: slice
    """Where they are in the shard."""


def extents(total: int, shards: int) -> tuple[Extent, ...]:
    """The rows of every shard: sizes differ by at most one."""
    edges = [total * number // shards for number in range(shards + 1)]
    return tuple(Extent(number, *edges[number : number + 2]) for number in range(shards))


def pieces(kept: Sequence[int], extent: Extent) -> Iterator[Piece]:
    """The parts of a shard in order; `kept` is how many rows each partition has."""
    first = 0
    for number, count in enumerate(kept):
        start, stop = max(extent.first, first), min(extent.stop, first + count)
        if start < stop:
            place = slice(start - extent.first, stop - extent.first)
            yield Piece(number, slice(start - first, stop - first), place)
        first += count
