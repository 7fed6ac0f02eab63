"""Face-like descriptors of made-up people, the same for a seed wherever, in whatever order they are made.

A person's centre is `m = normalise(V (mu_k + diag(sd_k) x))`, a photo of the person
`u = c m + sqrt(1 - c^2) w`, with w = `Lw z` made orthogonal to m and of unit norm, and c the quantile function
of mates' similarity at `Phi(sqrt(rho) z_id + sqrt(1 - rho) z_photo)`.  In `mixture` x is standard normal; in `tree`
`x = sum_l a_l T_l[node_l] + a_rest z` with nested nodes, which gives families of look-alikes; `wide` and `isotropic`
replace V, mu, sd and Lw by one spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.generate.blas import one_thread
from pipeline.generate.labels import people_labels, uuids
from pipeline.generate.regimes import REGIMES, Fitted, Floats, GenerateError, Mates, fitted, mates, wide

BLOCK = 250
"""People that share a stream of random numbers: the unit in which anything is computed, so that shapes of matrix
products, hence their rounding, never depend on what was asked for."""

CHUNK = 25_000
"""Rows of a chunk unless told otherwise."""

PEOPLE = 0
"""Number of the stream that draws people; photo p has the stream 1 + p."""


class Faces(NamedTuple):
    """Some rows."""

    descriptors: NDArray[np.float16]
    """(n, dim) of unit norm."""
    ids: list[str]
    """UUIDs of the photos."""
    people: list[str]
    """`p000000042` for person 42."""


class People(NamedTuple):
    """The people of one block."""

    centres: Floats
    """(BLOCK, dim) of unit norm."""
    quality: NDArray[np.float64]
    """(BLOCK,) standard normal: z_id."""


@dataclass(frozen=True, slots=True)
class Generator:
    """People numbered from 0, each with photos numbered from 0.  Picklable; safe to use from several threads.

    Two machines agree to the last bit where NumPy, its BLAS and the instruction set are the
    same; elsewhere to float16 rounding.
    """

    regime: str
    seed: int
    dim: int = 512
    mates: Mates = field(init=False)

    def __post_init__(self) -> None:
        """Raise GenerateError for what cannot be made."""
        if self.regime not in REGIMES:
            raise GenerateError(f"regime: expected one of {', '.join(REGIMES)}, got {self.regime!r}")
        if self.seed < 0:
            raise GenerateError(f"seed: expected a number from 0, got {self.seed}")
        if self.dim < 2:
            raise GenerateError(f"dim: expected at least 2, got {self.dim}")
        if self.regime in ("mixture", "tree") and self.dim != fitted(self.regime).noise.shape[0]:
            known = fitted(self.regime).noise.shape[0]
            raise GenerateError(f"dim: expected {known} for {self.regime}, got {self.dim}; wide and isotropic take any")
        object.__setattr__(self, "mates", mates(self.regime))

    @property
    def version(self) -> str:
        """The descriptor version: names what made the descriptors."""
        return f"generated-{self.regime}-{self.dim}"

    def chunk(self, number: int, rows: int = CHUNK) -> Faces:
        """Photo 0 of people [number * rows, (number + 1) * rows): a gallery with one photo of each person."""
        return self.rows(number * rows, (number + 1) * rows)

    def rows(self, start: int, stop: int) -> Faces:
        """Photo 0 of people [start, stop)."""
        return self.photos(np.arange(start, stop), 0)

    def probes(self, people: NDArray[np.integer[Any]], photo: int = 1) -> Faces:
        """Another photo of each of some people, in the order asked for."""
        return self.photos(people, photo)

    def photos(self, people: NDArray[np.integer[Any]], photo: int) -> Faces:
        """One photo of each of some people, in the order asked for."""
        numbers = people.astype(np.int64)
        if len(numbers) and numbers.min() < 0:
            raise GenerateError(f"people: expected numbers from 0, got {numbers.min()}")
        descriptors = np.empty((len(numbers), self.dim), np.float16)
        names = np.empty((len(numbers), 16), np.uint8)
        order = np.argsort(numbers, kind="stable")
        blocks = numbers[order] // BLOCK
        with one_thread():
            for some in np.split(order, np.flatnonzero(np.diff(blocks)) + 1):
                if len(some):
                    block, inside = int(numbers[some[0]] // BLOCK), numbers[some] % BLOCK
                    descriptors[some], names[some] = self._photos(block, inside, photo)
        return Faces(descriptors, uuids(names), people_labels(numbers))

    def _photos(self, block: int, inside: NDArray[np.int64], photo: int) -> tuple[Floats, NDArray[np.uint8]]:
        """Photos of the people at positions `inside` of a block, with 16 random bytes each to name them."""
        people, random = self.people(block), self._random(block, 1 + photo)
        centres = people.centres
        away = random.standard_normal((BLOCK, self.dim), np.float32)
        if self.regime != "isotropic":
            away = away @ (wide(self.dim) if self.regime == "wide" else fitted(self.regime).noise)
        away -= np.einsum("ij,ij->i", away, centres)[:, None] * centres
        unit(away)
        luck = random.standard_normal(BLOCK)
        rho = self.mates.rho
        level = phi(np.sqrt(rho) * people.quality + np.sqrt(1 - rho) * luck)
        quantiles = self.mates.quantiles
        c = np.interp(level, np.linspace(0, 1, len(quantiles)), quantiles)
        away *= np.sqrt(1 - c * c).astype(np.float32)[:, None]
        away += c.astype(np.float32)[:, None] * centres
        return away[inside], random.integers(0, 256, (BLOCK, 16), np.uint8)[inside]

    def people(self, block: int) -> People:
        """The people [block * BLOCK, (block + 1) * BLOCK)."""
        random = self._random(block, PEOPLE)
        if self.regime in ("mixture", "tree"):
            centres = fitted_centres(fitted(self.regime), random)
        else:
            centres = random.standard_normal((BLOCK, self.dim), np.float32)
            if self.regime == "wide":
                centres = centres @ wide(self.dim)
        unit(centres)
        quality = random.standard_normal(BLOCK)
        if self.mates.p_kin:
            blend_kin(centres, self.mates, random)
        return People(centres, quality)

    def _random(self, block: int, stream: int) -> np.random.Generator:
        key = (REGIMES.index(self.regime), self.dim, block, stream)
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence(self.seed, spawn_key=key)))


def fitted_centres(model: Fitted, random: np.random.Generator) -> Floats:
    """BLOCK centres (BLOCK, dim) before they are made unit norm."""
    component = random.choice(len(model.shares), BLOCK, p=model.shares)
    x = random.standard_normal((BLOCK, model.mu.shape[1]), np.float32)
    if model.tables:
        x *= np.float32(model.weights[-1])
        leaves = len(model.tables[-1])
        leaf = random.integers(0, leaves, BLOCK)
        for table, weight in zip(model.tables, model.weights[:-1], strict=True):
            x += np.float32(weight) * table[leaf * len(table) // leaves]
    centres: Floats = (model.mu[component] + model.sd[component] * x) @ model.basis
    return centres


def blend_kin(centres: Floats, model: Mates, random: np.random.Generator) -> None:
    """Bring some centres, in place, to a cosine drawn from `model.kin` with another one of the block.

    The others are among those left as they are, so that the cosine holds; the first of a block always is.
    """
    blended = random.random(len(centres)) < model.p_kin
    blended[0] = False
    kin, others = np.flatnonzero(blended), np.flatnonzero(~blended)
    partner = centres[random.choice(others, len(kin))]
    cosine = random.uniform(*model.kin, len(kin)).astype(np.float32)[:, None]
    own = centres[kin]
    own -= np.einsum("ij,ij->i", own, partner)[:, None] * partner
    unit(own)
    centres[kin] = cosine * partner + np.sqrt(1 - cosine * cosine) * own


def unit(rows: Floats) -> None:
    """Give rows unit norm, in place."""
    rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]


def phi(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """The standard normal distribution function, to 7.5e-8 (Abramowitz and Stegun 1964, formula 26.2.17)."""
    t = 1 / (1 + 0.2316419 * np.abs(z))
    tail = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail *= np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    return np.where(z >= 0, 1 - tail, tail)
