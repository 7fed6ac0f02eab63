"""Rows sorted by family: whoever works on some families reads the rows of these alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.device.verbs import Floats, Ids
from pipeline.workspace import Work


@dataclass(frozen=True, slots=True)
class Sorted:
    """Where the sorted rows of each group lie, under a folder of the work folder."""

    folder: str
    out: int

    def write(self, work: Work, group: int, rows: Floats, places: tuple[Ids, int, Ids]) -> None:
        """Save rows (n, out) with their cells, in order of families; `places`: families (n,), how many, cells (n,)."""
        families, count, cells = places
        order = np.argsort(families, kind="stable")
        ends = np.searchsorted(families[order], np.arange(count + 1)).astype(np.int64)
        work.write(self._key(group, "rows"), _bytes(rows[order], "<f4"))
        work.write(self._key(group, "cells"), _bytes(cells[order], "<i4"))
        work.save(self._key(group, "ends.npy"), ends)

    def delete_rows(self, work: Work, group: int) -> None:
        """Remove what only a round that is over reads: whoever still does is late, and fails instead of guessing."""
        work.bucket.delete(*(work.prefix + self._key(group, what) for what in ("rows", "cells")))

    def ends(self, work: Work, groups: int) -> NDArray[np.int64]:
        """Where families begin in each group, then the group's rows: (groups, families + 1)."""
        return np.stack([work.load(self._key(group, "ends.npy")) for group in range(groups)])

    def rows(self, work: Work, ends: NDArray[np.int64], some: range) -> list[tuple[Floats, Ids]]:
        """Rows (n, out), cells (n,) of each of some consecutive families: of all groups, in order of the list."""
        found = [self._of_group(work, group, bounds, some) for group, bounds in enumerate(ends)]
        return [_joined([one[number] for one in found]) for number in range(len(some))]

    def _of_group(self, work: Work, group: int, ends: NDArray[np.int64], some: range) -> list[tuple[Floats, Ids]]:
        """One range of the object is read, and cut where families end."""
        start, stop = int(ends[some.start]), int(ends[some.stop])
        rows = self._range(work, group, "rows", (start, stop, 4 * self.out))
        cells = self._range(work, group, "cells", (start, stop, 4))
        cuts = ends[some.start + 1 : some.stop] - start
        wide = np.split(np.frombuffer(rows, "<f4").reshape(-1, self.out), cuts)
        return list(zip(wide, np.split(np.frombuffer(cells, "<i4").astype(np.int64), cuts), strict=True))

    def _range(self, work: Work, group: int, what: str, part: tuple[int, int, int]) -> bytes:
        start, stop, size = part
        if start == stop:
            return b""
        return work.bucket.read_range(work.prefix + self._key(group, what), start * size, (stop - start) * size)

    def _key(self, group: int, what: str) -> str:
        return f"{self.folder}/{group:05d}.{what}"


def _joined(parts: Sequence[tuple[Floats, Ids]]) -> tuple[Floats, Ids]:
    return np.concatenate([rows for rows, _ in parts]), np.concatenate([cells for _, cells in parts])


def _bytes(array: NDArray[Any], kind: str) -> memoryview:
    return np.ascontiguousarray(array, kind).reshape(-1).view(np.uint8).data
