"""A number for each person of a list, in the order in which they come."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Ids
from pipeline.hashing import keys_of

AT_ONCE = 1 << 20
"""Rows whose keys are sorted at a time; a longer list is read once for each so many."""


def person_codes(read: Callable[[int], Ids], sizes: list[int]) -> NDArray[np.int32]:
    """Codes (total,) of the persons of all rows, -1 where the name is empty; `read` gives the names of a partition.

    Names are told apart by two keys of 64 bits each, so that two of a billion people are taken for one with a chance
    of 1e-21.  Needs twelve bytes a row, whatever the names.
    """
    total = sum(sizes)
    first = np.full(total, -1, np.int64)  # the first row of the same person
    passes = max(1, -(-total // AT_ONCE))
    for number in range(passes):
        rows, keys = _keys(read, sizes, number, passes)
        order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable, so that of one person the first row comes first
        new = np.ones(len(order), bool)
        new[1:] = (keys[order[1:]] != keys[order[:-1]]).any(axis=1)
        begins = np.flatnonzero(new)
        first[rows[order]] = np.repeat(rows[order[begins]], np.diff(np.append(begins, len(order))))
    # who comes first gets the next number
    begins_person = first == np.arange(total)
    numbers = np.cumsum(begins_person, dtype=np.int32) - np.int32(1)
    codes: NDArray[np.int32] = np.where(first >= 0, numbers[np.maximum(first, 0)], np.int32(-1))
    return codes


def _keys(
    read: Callable[[int], Ids], sizes: list[int], number: int, passes: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Rows with their keys (n, 2), of those that a pass looks at."""
    rows, found, start = [np.empty(0, np.int64)], [np.empty((0, 2), np.uint64)], 0
    for part, size in enumerate(sizes):
        names = read(part).as_text()
        first = keys_of(names)
        named = np.diff(names.letters()[0]) > 0
        mine = np.flatnonzero(named & (first % np.uint64(passes) == number))
        rows.append(mine + start)
        found.append(np.stack([first, keys_of(names, seed=1)], axis=1)[mine])
        start += size
    return np.concatenate(rows), np.concatenate(found)
