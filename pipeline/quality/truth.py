"""Exact search of probes in blocks: what it finds, merged, less what may not be a candidate."""

from __future__ import annotations

import numpy as np

from pipeline.device.verbs import Device
from pipeline.quality.arrays import Flags, Floats, Lists, Numbers
from pipeline.quality.persons import NOBODY, Persons
from pipeline.quality.probes import ProbeSet
from pipeline.quality.queries import Queries

BLOCK = 8_192
"""Probes compared with a partition at a time: bounds what a device holds of them."""


def exact_block(worker: Device, queries: Queries, rows: Floats, first: int, depth: int) -> Lists:
    """The `depth` best of the rows (n, d) float32, numbered from `first`, for each query (p, d) float32."""
    found = [
        worker.knn(queries[start : start + BLOCK], rows, min(depth, len(rows)))
        for start in range(0, len(queries), BLOCK)
    ]
    return np.concatenate([one[0] for one in found]), np.concatenate([one[1] for one in found]) + first


def merged(first: Lists, second: Lists, depth: int) -> Lists:
    """The `depth` best of two candidate lists per probe, (p, a) and (p, b)."""
    similarities = np.concatenate([first[0], second[0]], axis=1)
    return ordered((similarities, np.concatenate([first[1], second[1]], axis=1)), depth)


def ordered(lists: Lists, depth: int) -> Lists:
    """The `depth` best of candidate lists (p, any), best first; equal similarities by lower number."""
    similarities, numbers = lists
    order = np.lexsort((numbers, -similarities), axis=1)[:, :depth]
    return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(numbers, order, axis=1)


def candidates(found: Lists, probes: ProbeSet, part: Numbers, persons: Persons, k: int) -> Lists:
    """What remains of found rows (p, depth) for the probes `part`: the k best that count, (p, k).

    A probe never meets its own row; a non-mated probe meets none of its person's rows either.
    """
    similarities, numbers = padded(found, k)
    dropped = out_of_count(numbers, probes, part, persons)
    order = np.argsort(dropped, axis=1, kind="stable")[:, :k]
    gone = np.take_along_axis(dropped, order, axis=1)
    kept_similarities = np.where(gone, np.float32(-1), np.take_along_axis(similarities, order, axis=1))
    return kept_similarities, np.where(gone, -1, np.take_along_axis(numbers, order, axis=1))


def padded(found: Lists, k: int) -> Lists:
    """The lists (p, any) with at least k places: those of a gallery shorter than k end in empty ones."""
    missing = k - found[1].shape[1]
    if missing <= 0:
        return found
    return (
        np.pad(found[0], ((0, 0), (0, missing)), constant_values=-1),
        np.pad(found[1], ((0, 0), (0, missing)), constant_values=-1),
    )


def out_of_count(numbers: Numbers, probes: ProbeSet, part: Numbers, persons: Persons) -> Flags:
    """Which of the found rows (p, k) are no candidates of the probes `part`."""
    dropped = (numbers < 0) | (numbers == probes.own[part][:, None])
    out: Flags = dropped | (mates_in(numbers, probes, part, persons) & ~probes.mated[part][:, None])
    return out


def mates_in(numbers: Numbers, probes: ProbeSet, part: Numbers, persons: Persons) -> Flags:
    """Which of the rows (p, k) are of the probe's person."""
    person = probes.person[part][:, None]
    same: Flags = (persons.of(numbers) == person) & (person != NOBODY)
    return same
