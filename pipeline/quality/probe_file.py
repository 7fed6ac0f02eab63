"""Reads labelled probes from a file of their own."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Ids
from pipeline.errors import BuildError
from pipeline.quality.arrays import Numbers
from pipeline.quality.persons import NOBODY
from pipeline.quality.probes import Chosen
from pipeline.sources.opening import open_source
from pipeline.workspace import Work

SPARE = 2
"""Rows kept of a long file, as a multiple of the probes wanted: some are of people whom nobody needs."""


@dataclass(slots=True)
class Reservoir:
    """A uniform sample of at most `most` named rows of a file read once: those with the smallest random keys."""

    most: int
    generator: np.random.Generator
    keys: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    rows: NDArray[np.float16] = field(default_factory=lambda: np.empty((0, 0), np.float16))
    people: NDArray[np.object_] = field(default_factory=lambda: np.empty(0, object))

    def add(self, rows: NDArray[np.float16], people: list[str]) -> None:
        """Offer the rows (n, d) with the names of their people; nameless ones are not taken."""
        names = np.array(people, object)
        named = np.flatnonzero(names != "")
        keys = np.concatenate([self.keys, self.keys_of(names[named])])
        kept = np.argsort(keys, kind="stable")[: self.most]
        self.keys = keys[kept]
        self.people = np.concatenate([self.people, names[named]])[kept]
        before = self.rows if len(self.rows) else rows[:0]
        self.rows = np.concatenate([before, rows[named]])[kept]

    def keys_of(self, names: NDArray[np.object_]) -> NDArray[np.float64]:
        """Random keys (n,) of rows of these people."""
        return self.generator.random(len(names))


def from_file(work: Work, generator: np.random.Generator) -> tuple[Chosen, Chosen | None]:
    """Mated probes, and non-mated ones if the file has enough people whom the gallery does not know, from `spec.probes_url`.

    Enough is what the FPIR can be told from at all: 1 / fpir.  Raises BuildError when nobody is known, or for
    descriptors of another dimension.
    """
    spec, quality = work.spec, work.spec.quality
    wanted, others = 2 * quality.mated_probes, 2 * quality.non_mates
    source = open_source(spec.probes_url, spec.source, spec.images, spec.storage)
    if (dim := source.listing().dim) != spec.dim:
        raise BuildError(
            f"{spec.probes_url}: expected descriptors of {spec.dim} dimensions as in {spec.source_url}, got {dim}"
        )
    drawn, rejected = Reservoir(SPARE * (wanted + others), generator), 0
    for part in source.partitions(spec.build.partition_rows):
        rows = source.read(part)
        drawn.add(rows.descriptors, rows.people or [""] * len(rows.descriptors))
        rejected += len(rows.rejects)
    codes = _codes(work, drawn.people)
    mates, strangers = np.flatnonzero(codes != NOBODY)[:wanted], np.flatnonzero(codes == NOBODY)[:others]
    if not len(mates):
        raise BuildError(
            f"{spec.probes_url}: expected probes of people in {spec.source_url}, got none: both need the column "
            f"{spec.source.person_column!r} with the same names"
        )
    said = f"{spec.probes_url}" + (f" ({rejected:,} rows rejected)" if rejected else "")
    found = _chosen(drawn, mates, codes, f"labelled: {len(mates):,} photos of {said}")
    if len(strangers) < 1 / quality.fpir:
        return found, None
    return found, _chosen(drawn, strangers, codes, f"{len(strangers):,} photos of {said} of people not in the list")


def _chosen(drawn: Reservoir, positions: Numbers, codes: Numbers, origin: str) -> Chosen:
    queries = np.ascontiguousarray(drawn.rows[positions], np.float32)
    return Chosen(queries, codes[positions], np.full(len(positions), -1, np.int64), origin)


def _codes(work: Work, names: NDArray[np.object_]) -> Numbers:
    """Code in the gallery of each name (n,), NOBODY for strangers; one pass over the gallery's names."""
    people, wanted = work.people(), dict.fromkeys(names.tolist(), NOBODY)
    if people is not None:
        first = 0
        for number, count in enumerate(work.census()["kept"]):
            named, kept = Ids.open(work.read(f"people/{number:05d}.ids")), work.kept(number)
            named = named if kept is None else named.select(kept)
            for name, code in zip(named, people[first : first + count].tolist(), strict=True):
                if str(name) in wanted:
                    wanted[str(name)] = code
            first += count
    return np.fromiter((wanted[name] for name in names.tolist()), np.int64, len(names))
