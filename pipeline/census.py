"""Stage census: counts the rows of all partitions, finds ids that occur twice, gives people their codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Ids
from pipeline.duplicates import duplicates
from pipeline.errors import BuildError, NothingToIndex
from pipeline.person_codes import person_codes
from pipeline.sources.rows import Reject
from pipeline.workspace import Work, dropped_key

SHOWN = 5
"""Rejects quoted in an error; the whole list is in the bucket."""


def census(work: Work, _: None) -> int:
    """Write `census.json` (rows kept and dropped per partition, rejects), positions of dropped rows and `people.npy`.

    Of rows with the same id the first is kept and the others are rejects.  Raises BuildError when
    nothing is left or more than `source.max_reject_share` of the source was rejected.
    """
    sizes = [len(_names(work, "ids", number)) for number in range(work.partitions())]
    dropped = _dropped(work, sizes)
    kept = [size - dropped.get(number, 0) for number, size in enumerate(sizes)]
    rejected = sum(1 for _ in rejects(work))
    _check(work, sum(kept), rejected)
    people = [key for key in work.keys("people/") if key.endswith(".ids")]
    fields = {
        "kept": kept,
        "total": sum(kept),
        "rejected": rejected,
        "people": bool(people),
        "dropped": {str(number): count for number, count in dropped.items()},
    }
    if people:
        work.save("people.npy", _codes(work, sizes, dropped))
    work.save_json("census.json", fields)  # last, since every other stage reads it
    return sum(kept)


def rejects(work: Work) -> Iterator[Reject]:
    """Every rejected row of the source, in order of partitions; duplicates are added by `census`."""
    for key in work.keys("rejects/"):
        for fields in work.load_json(key):
            yield Reject(**fields)


def _dropped(work: Work, sizes: list[int]) -> dict[int, int]:
    """How many rows of each partition have an id that occurred before; their positions are written, and the rejects."""
    again = duplicates(lambda number: _names(work, "ids", number), sizes)
    starts = [part["start"] for part in work.load_json("partitions.json")]
    found = {}
    for number in np.unique(again[:, 0]).tolist():
        mine = again[again[:, 0] == number]
        names = _names(work, "ids", number).take(mine[:, 1])
        listed = [
            Reject(starts[number] + position, str(name), f"duplicate id: partition {part} has it at position {place}")
            for name, (_, position, part, place) in zip(names, mine.tolist(), strict=True)
        ]
        work.save_json(f"rejects/duplicates/{number:05d}.json", [asdict(reject) for reject in listed])
        work.save(dropped_key(number), mine[:, 1])
        found[number] = len(mine)
    return found


def _names(work: Work, what: str, number: int) -> Ids:
    """All `ids` or `people` of a partition."""
    return Ids.open(work.read(f"{what}/{number:05d}.ids"))


def _check(work: Work, left: int, rejected: int) -> None:
    allowed = work.spec.source.max_reject_share
    if left and rejected <= allowed * (left + rejected):
        return
    shown = "; ".join(
        f"row {one.row} ({one.id}): {one.reason}" for _, one in zip(range(SHOWN), rejects(work), strict=False)
    )
    if not left:
        raise NothingToIndex(
            f"{work.spec.source_url}: expected descriptors, got none that can be indexed; {shown or 'it is empty'}"
        )
    raise BuildError(
        f"{work.spec.source_url}: {rejected} of {left + rejected} rows rejected, allowed are {allowed:.0%} "
        f"(source.max_reject_share); the first: {shown}"
    )


def _codes(work: Work, sizes: list[int], dropped: dict[int, int]) -> NDArray[np.int32]:
    """Codes of the persons of the rows that are kept."""
    codes = person_codes(lambda number: _names(work, "people", number), sizes)
    starts = np.cumsum([0, *sizes])
    gone = [work.load(dropped_key(number)) + starts[number] for number in dropped]
    return np.delete(codes, np.concatenate(gone)) if gone else codes
