"""Whom to look for: mated and non-mated probes in two halves."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.quality import queries
from pipeline.quality.arrays import Flags, Floats, Halves, Numbers
from pipeline.quality.persons import Persons
from pipeline.quality.queries import Queries, StoredQueries
from pipeline.workspace import Work

CHOOSING, GATING = 0, 1

KEY = "probes.npz"
NAMES = ("mated", "half", "own", "person", "skip", "origin", "others")


@dataclass(frozen=True, slots=True)
class ProbeSet:
    """Probes, mated ones first."""

    queries: Queries
    """(p, d) float32, unit norm."""
    mated: Flags
    """(p,) whether a mate is in the gallery."""
    half: Halves
    """(p,) 0 = choosing an operating point, 1 = gating the chosen one."""
    own: Numbers
    """(p,) the gallery row that the probe itself is, -1 for none: never a candidate."""
    person: Numbers
    """(p,) person code, see `Persons`; -1 where nobody knows."""
    skip: Numbers
    """(p,) most gallery rows that are dropped before candidates are counted, so that many more are fetched."""
    origin: str
    """Where the mated probes come from, with the model's parameters if they are made."""
    others: str
    """Where the non-mated probes come from."""

    def save(self, work: Work) -> None:
        """Write the descriptors, then the rest as `probes.npz`."""
        queries.save(work, self.queries)
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {name: np.asarray(getattr(self, name)) for name in NAMES}
        np.savez(buffer, **arrays)
        work.write(KEY, buffer.getbuffer())

    @classmethod
    def load(cls, work: Work) -> ProbeSet:
        """Read what `save` wrote; descriptors are read when they are asked for."""
        with np.load(io.BytesIO(work.read(KEY))) as arrays:
            values: dict[str, Any] = {name: arrays[name] for name in NAMES}
        asked = StoredQueries(work, len(values["own"]), work.spec.dim)
        return cls(queries=asked, **{**values, "origin": str(values["origin"]), "others": str(values["others"])})

    def part(self, *, mated: bool, half: int | None = None) -> Numbers:
        """Positions of mated or non-mated probes, of one half or both."""
        chosen = self.mated == mated
        if half is not None:
            chosen &= self.half == half
        return np.flatnonzero(chosen)

    def depth(self, part: Numbers, k: int) -> int:
        """Rows to fetch for the probes `part` so that k are left when what does not count is dropped."""
        return k + (int(self.skip[part].max()) if len(part) else 0)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Probes of one kind before they are put together."""

    queries: Floats
    person: Numbers
    own: Numbers
    origin: str
    drawn: bool = False
    """Whether each probe is an independent draw of a model, so that any of them may be in either half."""

    def half(self) -> Halves:
        """(p,) the half of each probe."""
        return halves(np.arange(len(self.person)) if self.drawn else self.person)


def joined(mates: Chosen, others: Chosen, persons: Persons) -> ProbeSet:
    """The two kinds as one set: a mated probe drops its own row, a non-mated one every row of its person."""
    own = (mates.own >= 0).astype(np.int64)
    return ProbeSet(
        queries=np.concatenate([mates.queries, others.queries]),
        mated=np.repeat([True, False], [len(mates.own), len(others.own)]),
        half=np.concatenate([mates.half(), others.half()]),
        own=np.concatenate([mates.own, others.own]),
        person=np.concatenate([mates.person, others.person]),
        skip=np.concatenate([own, persons.rows_of(others.person)]),
        origin=mates.origin,
        others=others.origin,
    )


def halves(person: Numbers) -> Halves:
    """The half of each probe (p,): the people who come first choose, the others gate.

    No person is in both, since photos of one person stand or fall together.  Probes come in random order.
    Of a single person the probes gate.
    """
    _, firsts, members, counts = np.unique(person, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(firsts)
    before = np.empty(len(counts), np.int64)
    before[order] = np.cumsum(counts[order]) - counts[order]
    gating = before + counts / 2 >= len(person) / 2
    return gating[members.ravel()].astype(np.int8)
