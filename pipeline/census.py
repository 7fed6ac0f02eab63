"""Stage census: counts the rows of all partitions, finds ids that occur twice, gives people their codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Ids
from pipeline.errors import BuildError
from pipeline.sources.rows import Reject
from pipeline.workspace import Work

SHOWN = 5
"""Rejects quoted in an error; the whole list is in the bucket."""


def census(work: Work, _: None) -> int:
    """Write `census.json` (rows kept and positions dropped per partition, rejects) and `people.npy`.

    Of rows with the same id the first is kept and the others are rejects.  Raises BuildError when
    nothing is left or more than `source.max_reject_share` of the source was rejected.
    """
    count = work.partitions()
    dropped = _duplicates(work, count)
    sizes = [len(Ids.open(work.read(f"ids/{number:05d}.ids"))) for number in range(count)]
    kept = [size - len(dropped.get(number, ())) for number, size in enumerate(sizes)]
    rejected = sum(1 for _ in rejects(work))
    _check(work, sum(kept), rejected)
    people = [key for key in work.keys("people/") if key.endswith(".ids")]
    fields = {
        "kept": kept,
        "total": sum(kept),
        "rejected": rejected,
        "people": bool(people),
        "dropped": {str(number): positions for number, positions in dropped.items()},
    }
    if people:
        work.save("people.npy", _codes(work, count, dropped))
    work.save_json("census.json", fields)  # last, since every other stage reads it
    return sum(kept)


def rejects(work: Work) -> Iterator[Reject]:
    """Every rejected row of the source, in order of partitions; duplicates are added by `census`."""
    for key in work.keys("rejects/"):
        for fields in work.load_json(key):
            yield Reject(**fields)


def _duplicates(work: Work, count: int) -> dict[int, list[int]]:
    """Positions per partition whose id occurred before; each is written to the rejects as well."""
    seen: dict[str | int, tuple[int, int]] = {}
    dropped: dict[int, list[int]] = {}
    found: list[Reject] = []
    for number in range(count):
        start = work.load_json("partitions.json")[number]["start"]
        for position, name in enumerate(Ids.open(work.read(f"ids/{number:05d}.ids"))):
            first = seen.setdefault(name, (number, position))
            if first != (number, position):
                dropped.setdefault(number, []).append(position)
                found.append(
                    Reject(
                        start + position, str(name), f"duplicate id: partition {first[0]} has it at position {first[1]}"
                    )
                )
    work.save_json("rejects/duplicates.json", [asdict(reject) for reject in found])
    return dropped


def _check(work: Work, left: int, rejected: int) -> None:
    allowed = work.spec.source.max_reject_share
    if left and rejected <= allowed * (left + rejected):
        return
    shown = "; ".join(
        f"row {one.row} ({one.id}): {one.reason}" for _, one in zip(range(SHOWN), rejects(work), strict=False)
    )
    if not left:
        raise BuildError(
            f"{work.spec.source_url}: expected descriptors, got none that can be indexed; {shown or 'it is empty'}"
        )
    raise BuildError(
        f"{work.spec.source_url}: {rejected} of {left + rejected} rows rejected, allowed are {allowed:.0%} "
        f"(source.max_reject_share); the first: {shown}"
    )


def _codes(work: Work, count: int, dropped: dict[int, list[int]]) -> NDArray[np.int32]:
    names: dict[str | int, int] = {"": -1}  # a row whose person is unknown carries the empty name
    codes = [
        np.delete(
            np.fromiter(
                (names.setdefault(name, len(names) - 1) for name in Ids.open(work.read(f"people/{number:05d}.ids"))),
                np.int32,
            ),
            dropped.get(number, []),
        )
        for number in range(count)
    ]
    return np.concatenate(codes)
