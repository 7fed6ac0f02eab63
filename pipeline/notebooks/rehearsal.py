"""A threshold tried on the published index: rows of the list itself as searches."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import ArtifactError, Manifest, Store, index_prefix
from pipeline.quality.arrays import Flags, Lists
from pipeline.quality.bounds import interval
from pipeline.quality.figures import Rule
from pipeline.quality.grouping import PERSON
from pipeline.quality.persons import Persons
from pipeline.quality.reading import Report
from pipeline.search.index import Floats, Index, Numbers
from pipeline.search.opening import open_index
from pipeline.search.people import ROWS_PER_PERSON
from pipeline.search.rows import rows_of

MOST_OF_A_PERSON = 30
"""Rows of a person that are looked past, to the nearest row of somebody else."""
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
def opened(store: Store, manifest: Manifest) -> Iterator[tuple[Index, Path]]:
    """The published index with the folder that its files were downloaded to, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="lim-") as folder:
        home = index_prefix(manifest.label, manifest.index_id)
        for file in manifest.shards[0].files:
            store.download(home + file.key, Path(folder) / Path(file.key).name, expect=file)
        index = open_index(Path(folder), manifest)
        try:
            yield index, Path(folder)
        finally:
            index.close()


def rehearse(store: Store, report: Report, threshold: float, *, searches: int = 2_000, seed: int = 7) -> Rehearsal:
    """Search the index for `searches` of its own rows, uniformly drawn, each without itself.

    Rows are those that re-rank candidates, so of an int8 index their rounding is in it.  A row without a known person
    is taken for a person of its own, and the first k are people where the report's candidates are, as everywhere.
    Raises ArtifactError for an index of several shards, which no single one of them can answer for.
    """
    manifest = report.manifest
    if len(manifest.shards) > 1:
        raise ArtifactError(
            f"{manifest.label} {manifest.index_id}: expected one shard, got {len(manifest.shards)}: ask matchers instead"
        )
    k, by_person = int(report.data["decision"]["quality"]["k"]), report.group_by == PERSON
    with opened(store, manifest) as (index, folder):
        generator = np.random.default_rng(seed)
        chosen = np.sort(generator.choice(index.rows, min(searches, index.rows), replace=False))
        depth = k * (ROWS_PER_PERSON if by_person else 1) + 1 + (MOST_OF_A_PERSON if index.people else 0)
        queries = rows_of(folder, manifest, chosen)
        found = [index.search(queries[at : at + BATCH], min(depth, index.rows)) for at in range(0, len(queries), BATCH)]
        lists = np.concatenate([one[0] for one in found]), np.concatenate([one[1] for one in found])
        return _judged(index, chosen, lists, Rule(threshold, k, CONFIDENCE), by_person)


def _judged(index: Index, chosen: Numbers, found: Lists, rule: Rule, by_person: bool) -> Rehearsal:
    similarities, numbers = found
    persons = Persons(_codes(index), index.rows)
    person, codes, own = persons.of(chosen), persons.of(numbers), numbers == chosen[:, None]
    same, has_mate = (codes == person[:, None]) & ~own, persons.rows_of(person) > 1
    others = np.where(own | same | (numbers < 0), np.float32(-1), similarities)
    best, where = others.max(axis=1), others.argmax(axis=1)
    alarms = int((best >= rule.threshold).sum())
    counted = ~own & (_first_of_each(codes, own) if by_person else True)
    within = np.cumsum(counted, axis=1) <= rule.k  # the row itself takes no place among the first k
    accepted = (same & within & (similarities >= rule.threshold)).any(axis=1)
    missed, mated = int((has_mate & ~accepted).sum()), int(has_mate.sum())
    return Rehearsal(
        rule.threshold, len(chosen), alarms, interval(alarms, len(chosen), CONFIDENCE), mated, missed,
        interval(missed, mated, CONFIDENCE), _pairs(index, chosen, numbers[np.arange(len(chosen)), where], best),
    )  # fmt: skip


def _codes(index: Index) -> NDArray[np.int32] | None:
    """A number per row's person, -1 without a name; None where the list names no people."""
    if index.people is None:
        return None
    names, codes = np.unique(index.people.keys().astype(str), return_inverse=True)
    return np.where(names[codes] == "", -1, codes).astype(np.int32)


def _first_of_each(codes: Numbers, own: Flags) -> Flags:
    """Which found rows (n, depth) are their person's first, a searched row itself aside."""
    alike = (codes[:, :, None] == codes[:, None, :]) & ~own[:, None, :]
    first: Flags = ~np.any(np.tril(alike, -1), axis=2)
    return first


def _pairs(index: Index, chosen: Numbers, nearest: Numbers, best: Floats) -> tuple[Pair, ...]:
    pairs: dict[tuple[int, int], Pair] = {}
    for at in np.argsort(-best):
        row, other = int(chosen[at]), int(nearest[at])
        if best[at] <= -1 or len(pairs) == SHOWN_PAIRS:
            break
        pair = Pair(str(index.ids[row]), str(index.ids[other]), float(best[at]))
        pairs.setdefault((min(row, other), max(row, other)), pair)
    return tuple(pairs.values())
