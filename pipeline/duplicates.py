"""Ids that occur twice: suspected by sorted keys, a bounded number at a time, confirmed by the names themselves."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Ids
from pipeline.hashing import Keys, keys_of

AT_ONCE = 1 << 22
"""Keys sorted at a time: 32 MB; a list of more is read once for each so many."""

SUSPECTS = 1 << 17
"""Keys of names that are compared themselves at a time."""

Read = Callable[[int], Ids]
"""The names of a partition."""


@dataclass(frozen=True, slots=True)
class Again:
    """Rows whose name an earlier row has; of each its partition, its position there, and those of the first such row."""

    columns: tuple[array[int], ...] = field(default_factory=lambda: tuple(array("q") for _ in range(4)))

    def add(self, *places: int) -> None:
        """One more."""
        for column, place in zip(self.columns, places, strict=True):
            column.append(place)

    def ordered(self) -> NDArray[np.int64]:
        """(n, 4), in order of partitions, then of positions."""
        rows = np.stack([np.frombuffer(column, np.int64) for column in self.columns], axis=1)
        return rows[np.lexsort((rows[:, 1], rows[:, 0]))]


def duplicates(read: Read, sizes: list[int]) -> NDArray[np.int64]:
    """Rows (n, 4) whose name occurred before: partition, position, and partition and position of the first.

    `sizes` are the rows of each partition.  Reads all names a few times; memory is bounded whatever the list.
    """
    keys = Reading(read, len(sizes))
    passes = max(1, -(-sum(sizes) // AT_ONCE))
    twice = [_twice(keys, number, passes) for number in range(passes)]
    suspects = np.sort(np.concatenate(twice))
    again = Again()
    for start in range(0, len(suspects), SUSPECTS):
        _compare(keys, suspects[start : start + SUSPECTS], again)
    return again.ordered()


class Reading:
    """Names with their keys, a partition at a time; where partitions differ in kind, as text."""

    def __init__(self, read: Read, count: int) -> None:
        self._read = read
        self._count = count
        self._mixed = len({read(number).kind for number in range(count)}) > 1

    def __iter__(self) -> Iterator[tuple[Ids, Keys]]:
        for number in range(self._count):
            names = self._read(number)
            yield names, keys_of(names.as_text() if self._mixed else names)


def _twice(reading: Reading, number: int, passes: int) -> Keys:
    """Keys that occur more than once, of those that a pass looks at: their remainder is its number."""
    some = [keys[keys % np.uint64(passes) == number] if passes > 1 else keys for _, keys in reading]
    ordered = np.sort(np.concatenate(some)) if some else np.empty(0, np.uint64)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _compare(reading: Reading, suspects: Keys, again: Again) -> None:
    """Note the rows among those of these keys whose name itself occurred before."""
    seen: dict[str | int, tuple[int, int]] = {}
    for number, (names, keys) in enumerate(reading):
        place = np.minimum(np.searchsorted(suspects, keys), len(suspects) - 1)
        positions = np.flatnonzero(suspects[place] == keys)
        for position, name in zip(positions.tolist(), names.take(positions), strict=True):
            first = seen.setdefault(name, (number, position))
            if first != (number, position):
                again.add(number, position, *first)
