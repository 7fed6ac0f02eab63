"""A threshold tried on the published index: rows of the list itself as searches."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Manifest, Store, index_prefix
from pipeline.quality.bounds import interval
from pipeline.search.index import Floats, Index, Numbers
from pipeline.search.opening import open_index
from pipeline.search.rows import rows_of

MOST_OF_A_PERSON = 30
"""Rows of a person that are looked past; searches of people with more are left out."""
BATCH = 256
CONFIDENCE = 0.95
SHOWN_PAIRS = 10


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows of the list that are not known to be of one person."""

    row: str
    other: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What came of it at one threshold; intervals are two-sided at 95 %."""

    threshold: float
    searches: int
    alarms: int
    """Searches whose nearest row of somebody else reaches the threshold."""
    fpir_between: tuple[float, float]
    mated: int
    """Searches whose person has another row."""
    missed: int
    """Of those, searches none of whose person's other rows came above the threshold within the first k."""
    fnir_between: tuple[float, float]
    pairs: tuple[Pair, ...]
    """The most similar pairs of different people, most similar first: look-alikes, or one person under two names."""

    @property
    def fpir(self) -> float:
        """Share of alarms."""
        return self.alarms / max(self.searches, 1)


@contextmanager
def opened(store: Store, manifest: Manifest, shard: int = 0) -> Iterator[tuple[Index, Path]]:
    """The published index with the folder that its files were downloaded to, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="lim-") as folder:
        home = index_prefix(manifest.label, manifest.index_id)
        for file in manifest.shards[shard].files:
            store.download(home + file.key, Path(folder) / Path(file.key).name, expect=file)
        index = open_index(Path(folder), manifest, shard)
        try:
            yield index, Path(folder)
        finally:
            index.close()


def rehearse(store: Store, manifest: Manifest, threshold: float, *, searches: int = 2_000, seed: int = 7) -> Rehearsal:
    """Search the index for `searches` of its own rows, uniformly drawn, each without itself.

    Rows are those that re-rank candidates, so of an int8 index their rounding is in it.  A row without a known person
    is taken for a person of its own, as everywhere.
    """
    with opened(store, manifest) as (index, folder):
        generator = np.random.default_rng(seed)
        chosen = np.sort(generator.choice(index.rows, min(searches, index.rows), replace=False))
        k = int(manifest.quality.get("k", 10))
        depth = min(k + 1 + (MOST_OF_A_PERSON if index.people else 0), index.rows)
        queries = rows_of(folder, manifest, chosen)
        found = [index.search(queries[at : at + BATCH], depth) for at in range(0, len(queries), BATCH)]
        lists = np.concatenate([one[0] for one in found]), np.concatenate([one[1] for one in found])
        return _judged(index, chosen, lists, threshold, k)


def _judged(index: Index, chosen: Numbers, found: tuple[Floats, Numbers], threshold: float, k: int) -> Rehearsal:
    similarities, numbers = found
    own = numbers == chosen[:, None]
    same, has_mate = _mates(index, chosen, numbers)
    same &= ~own
    others = np.where(own | same | (numbers < 0), np.float32(-1), similarities)
    best, where = others.max(axis=1), others.argmax(axis=1)
    nearest = numbers[np.arange(len(chosen)), where]
    alarms = int((best >= threshold).sum())
    within = np.cumsum(~own, axis=1) <= k  # the row itself takes no place among the first k
    accepted = (same & within & (similarities >= threshold)).any(axis=1)
    missed, mated = int((has_mate & ~accepted).sum()), int(has_mate.sum())
    return Rehearsal(
        threshold, len(chosen), alarms, interval(alarms, len(chosen), CONFIDENCE), mated, missed,
        interval(missed, mated, CONFIDENCE), _pairs(index, chosen, nearest, best),
    )  # fmt: skip


def _mates(index: Index, chosen: Numbers, numbers: Numbers) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which found rows (n, depth) are of the searched row's person, and which searched rows (n,) have such a row."""
    if index.people is None:
        return np.zeros(numbers.shape, bool), np.zeros(len(chosen), bool)
    names, codes, sizes = np.unique(index.people.keys().astype(str), return_inverse=True, return_counts=True)
    codes[names[codes] == ""] = -1  # a row without a name is a person of its own
    same = (codes[np.maximum(numbers, 0)] == codes[chosen][:, None]) & (numbers >= 0) & (codes[chosen] >= 0)[:, None]
    return same, (codes[chosen] >= 0) & (sizes[codes[chosen]] > 1)


def _pairs(index: Index, chosen: Numbers, nearest: Numbers, best: Floats) -> tuple[Pair, ...]:
    pairs: dict[tuple[int, int], Pair] = {}
    for at in np.argsort(-best):
        row, other = int(chosen[at]), int(nearest[at])
        if best[at] <= -1 or len(pairs) == SHOWN_PAIRS:
            break
        pair = Pair(str(index.ids[row]), str(index.ids[other]), float(best[at]))
        pairs.setdefault((min(row, other), max(row, other)), pair)
    return tuple(pairs.values())
