"""Draws probes from a gallery: rows with a mate, rows of somebody else, made mates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.quality.arrays import Flags, Floats, Numbers
from pipeline.quality.persons import BLOCK, Persons

MOST_MATES = (30, 1_000)
"""Rows of a person up to which they serve as non-mated probes, since each is one more row to fetch and drop;
the second where a list has nobody within the first."""

ROWS = 4_096
"""Mates made at a time."""

COVARIANCE_ROWS = 16_384
"""Rows of the sample that the noise's covariance is taken from."""


def labelled_gallery(persons: Persons, count: int, generator: np.random.Generator) -> Numbers:
    """At most `count` gallery rows whose person has another row, in random order."""
    if persons.known is None:
        return np.empty(0, np.int64)
    mates = _where(persons, lambda codes: (codes >= 0) & (persons.rows_of(codes) > 1))
    return generator.permutation(mates)[:count]


def non_mates(persons: Persons, count: int, generator: np.random.Generator) -> Numbers:
    """At most `count` gallery rows, in random order, of people with few rows; see MOST_MATES."""
    if persons.known is None:
        return generator.choice(persons.total, min(count, persons.total), replace=False)
    few: Numbers = np.empty(0, np.int64)
    for most in MOST_MATES:
        few = _where(persons, lambda codes, most=most: persons.rows_of(codes) <= most)  # type: ignore[misc]
        if len(few):
            break
    return generator.choice(few, min(count, len(few)), replace=False) if len(few) else few


def _where(persons: Persons, wanted: Callable[[Numbers], Flags]) -> Numbers:
    """The gallery rows of whose codes something holds, looked at block by block."""
    found = []
    for start in range(0, persons.total, BLOCK):
        numbers = np.arange(start, min(start + BLOCK, persons.total))
        found.append(numbers[wanted(persons.of(numbers))])
    return np.concatenate([np.empty(0, np.int64), *found])


def cosines(count: int, quantiles: NDArray[np.float64], generator: np.random.Generator, draws: int = 2) -> Floats:
    """Cosines (n,) of two photos of a person, from a quantile function on an even grid.

    Of a photo's cosine to its person's centre the product of two independent draws, since gallery row and probe are
    both photos; of the cosine of two photos one draw.
    """
    grid = np.linspace(0, 1, len(quantiles))
    drawn: Floats = np.interp(generator.random((draws, count)), grid, quantiles).prod(axis=0).astype(np.float32)
    return drawn


def noise_shape(sample: NDArray[np.floating[Any]]) -> Floats:
    """A matrix S (d, d): rows z S of standard normal z have the covariance of the rows (n, d) of a sample."""
    step = max(1, len(sample) // COVARIANCE_ROWS)
    rows = sample[::step].astype(np.float32)
    return noise_shape_of(rows - rows.mean(axis=0))


def noise_shape_of(noise: Floats) -> Floats:
    """The same of rows (n, d) whose mean is zero by nature."""
    values, vectors = np.linalg.eigh((noise.T @ noise / max(len(noise), 1)).astype(np.float64))
    shape: Floats = ((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T).astype(np.float32)
    return shape


def pseudo_mates(rows: Floats, cosine: Floats, shape: Floats, generator: np.random.Generator) -> Floats:
    """Another photo u = c m + sqrt(1 - c²) w of each row m (n, d) at cosine c (n,); any dimension from 2.

    w is normal noise with the covariance SᵀS of `shape` S (d, d), made orthogonal to m and normalised.
    Beside real second photos on LFW, one gallery row a person: the nearest impostor's median .35 (real .38), rank-1
    miss .011 (.036), lost by 64 cells of which a quarter is probed .031 (.011): harder for cells than photos are.
    """
    made = generator.standard_normal(rows.shape, dtype=np.float32)
    for start in range(0, len(rows), ROWS):  # so that no more than one copy of everything is needed
        part = slice(start, start + ROWS)
        noise, mates, c = made[part] @ shape, rows[part], cosine[part, None]
        # a list of copies has no covariance; a trace of white noise keeps the direction defined
        noise += generator.standard_normal(mates.shape, dtype=np.float32) * np.float32(1e-5)
        noise -= np.sum(noise * mates, axis=1, keepdims=True) * mates
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        made[part] = c * mates + np.sqrt(1 - c**2) * noise
        made[part] /= np.linalg.norm(made[part], axis=1, keepdims=True)
    return made
