"""Whom to look for: mated and non-mated probes in two halves."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.quality.arrays import Flags, Floats, Numbers, People

CHOOSING, GATING = 0, 1

MOST_MATES = 30
"""Rows of one person up to which the person's rows serve as non-mated probes: each is one more row to fetch and drop."""


@dataclass(frozen=True, slots=True)
class ProbeSet:
    """Probes, mated ones first.  `person` is a code of the gallery's people, -1 where nobody known."""

    queries: Floats
    """(p, d) float32, unit norm."""
    mated: Flags
    """(p,) whether a mate is in the gallery."""
    half: NDArray[np.int8]
    """(p,) 0 = choosing an operating point, 1 = gating the chosen one."""
    own: Numbers
    """(p,) the gallery row that the probe itself is, -1 for none: never a candidate."""
    person: People
    """(p,) person code."""
    origin: str
    """Where the mated probes come from, for the report."""

    def to_bytes(self) -> bytes:
        """As one `.npz`."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> ProbeSet:
        """Read what `to_bytes` wrote."""
        with np.load(io.BytesIO(data)) as arrays:
            values = {field.name: arrays[field.name] for field in fields(cls)}
        return cls(**{**values, "origin": str(values["origin"])})

    def part(self, *, mated: bool, half: int | None = None) -> Numbers:
        """Positions of mated or non-mated probes, of one half or both."""
        chosen = self.mated == mated
        if half is not None:
            chosen &= self.half == half
        return np.flatnonzero(chosen)


def needed(target: float, confidence: float) -> int:
    """Mated probes that can prove a target at all: none of n lost bounds the loss by 1 - (1 - confidence)^(1/n)."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - target))


def halves(count: int) -> NDArray[np.int8]:
    """Every other probe gates; probes come in random order."""
    return (np.arange(count) % 2).astype(np.int8)


def labelled_gallery(people: People, count: int, generator: np.random.Generator) -> Numbers:
    """At most `count` gallery rows whose person has another row, in random order."""
    sizes = np.bincount(people[people >= 0]) if (people >= 0).any() else np.zeros(1, np.int64)
    mates = np.flatnonzero((people >= 0) & (sizes[people] > 1))
    return generator.permutation(mates)[:count]


def non_mates(people: People, count: int, generator: np.random.Generator) -> Numbers:
    """At most `count` gallery rows, in random order, of people with few rows: own row and mates are dropped later."""
    sizes = np.bincount(people[people >= 0]) if (people >= 0).any() else np.zeros(1, np.int64)
    few = np.flatnonzero((people < 0) | (sizes[people] <= MOST_MATES))
    if len(few) <= 4 * count:
        return generator.permutation(few)[:count]
    return generator.choice(few, count, replace=False)


def pseudo_mates(rows: Floats, sample: Floats, quantiles: Floats, generator: np.random.Generator) -> Floats:
    """Another photo u = c m + sqrt(1 - c²) w of each row m (n, d).

    c is the product of two draws from the quantile function `quantiles` of a photo's cosine to its person's
    centre, since both m and u are photos (.68 ± .10 on LFW); w is the difference of two random
    rows of the list's `sample` (so noise has the list's own spectrum), made orthogonal to m and normalised.
    """
    first, second = generator.integers(0, len(sample), (2, len(rows)))
    noise = sample[first] - sample[second]
    # a list of copies has no differences; a trace of white noise keeps the direction defined
    noise = noise + generator.standard_normal(noise.shape, dtype=np.float32) * np.float32(1e-4)
    noise -= np.sum(noise * rows, axis=1, keepdims=True) * rows
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    grid = np.linspace(0, 1, len(quantiles))
    cosine = np.interp(generator.random((2, len(rows))), grid, quantiles).prod(axis=0).astype(np.float32)[:, None]
    made = cosine * rows + np.sqrt(1 - cosine**2) * noise
    return np.ascontiguousarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)
