"""Exact search in blocks, its merging, and what may not be a candidate of a probe."""

from __future__ import annotations

import numpy as np

from pipeline.quality.arrays import Floats, Numbers, People
from pipeline.quality.probes import ProbeSet


def merged(first: tuple[Floats, Numbers], second: tuple[Floats, Numbers], depth: int) -> tuple[Floats, Numbers]:
    """The `depth` best of two candidate lists per probe, (p, a) and (p, b); equal similarities by lower number."""
    similarities = np.concatenate([first[0], second[0]], axis=1)
    numbers = np.concatenate([first[1], second[1]], axis=1)
    order = np.lexsort((numbers, -similarities), axis=1)[:, :depth]
    return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(numbers, order, axis=1)


def depth_for(probes: ProbeSet, people: People, k: int) -> int:
    """Rows to fetch so that k are left when the probe's own row, and a non-mate's known mates, are dropped."""
    codes = probes.person[~probes.mated]
    codes = codes[codes >= 0]
    most = int(np.bincount(people[people >= 0])[codes].max()) if len(codes) else 0
    return k + 1 + most


def candidates(
    found: tuple[Floats, Numbers], probes: ProbeSet, part: Numbers, people: People, k: int
) -> tuple[Floats, Numbers]:
    """What remains of found rows (p, depth) for the probes `part`: the k best without those that do not count.

    A probe never meets its own row; a non-mated probe meets none of its person's rows either.
    Empty places have number -1 with similarity -1.
    """
    similarities, numbers = found
    own, person = probes.own[part][:, None], probes.person[part][:, None]
    same = (people[np.maximum(numbers, 0)] == person) & (person >= 0) & ~probes.mated[part][:, None]
    dropped = (numbers < 0) | (numbers == own) | same
    order = np.argsort(dropped, axis=1, kind="stable")[:, :k]
    gone = np.take_along_axis(dropped, order, axis=1)
    kept_similarities = np.where(gone, np.float32(-1), np.take_along_axis(similarities, order, axis=1))
    kept_numbers = np.where(gone, -1, np.take_along_axis(numbers, order, axis=1))
    return kept_similarities, kept_numbers
