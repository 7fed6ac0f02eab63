"""Names of the rows of a shard, streamed from the partitions."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.artifact import Data, Ids
from pipeline.sharding import Extent, pieces
from pipeline.workspace import Work


def names_of(work: Work, what: str, number: int) -> Ids:
    """The `ids` or `people` of a partition's kept rows."""
    found, kept = Ids.open(work.read(f"{what}/{number:05d}.ids")), work.kept(number)
    return found if kept is None else found.select(kept)


def names(work: Work, what: str, extent: Extent) -> Iterator[Data]:
    """The file of the `ids` or `people` of a shard, in pieces; a partition is read at a time."""

    def parts() -> Iterator[Ids]:
        for piece in pieces(work.census()["kept"], extent):
            yield names_of(work, what, piece.partition).cut(piece.rows)

    return Ids.stream(parts)
