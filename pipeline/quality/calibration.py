"""Fits the model of made mates to labelled descriptors."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import BuildError
from pipeline.quality.arrays import Floats, Numbers
from pipeline.quality.drawing import noise_shape_of
from pipeline.quality.noise import Noise
from pipeline.quality.probe_file import Reservoir
from pipeline.sources.opening import open_source
from pipeline.workspace import Work

MOST_ROWS = 50_000
"""Rows of a long file that are looked at: all of some people, who are drawn evenly."""

LEAST_PEOPLE = 100
"""People with two photos: fewer would make one of them a law."""

LEAST_PAIRS = 500
"""Pairs that a quantile function is drawn through."""

PAIRS_PER_DIMENSION = 2
"""Pairs that a covariance needs at least for each dimension to have full rank with something to spare."""

MOST_OF_ONE = 10
"""Pairs of one person, so that a few with many photos do not decide."""

SAME_PHOTO = 0.999
"""Cosine from which two rows are the same photo, stored twice."""

GRID = 257
"""Points of a quantile function."""


class WholePeople(Reservoir):
    """A sample of people with all of their rows: of rows alone, hardly two would be of one."""

    def keys_of(self, names: NDArray[np.object_]) -> NDArray[np.float64]:
        """The same key for the same name, whatever else is in the file."""
        digests = [hashlib.blake2b(str(name).encode(), digest_size=6).digest() for name in names]
        return np.array([int.from_bytes(digest) for digest in digests], np.float64)


def calibrated(work: Work, generator: np.random.Generator) -> Noise:
    """The model fitted to `build.calibration`: raises BuildError for another dimension or too few pairs."""
    spec, url = work.spec, work.spec.build.calibration
    source = open_source(url, spec.source, spec.images, spec.storage)
    if (dim := source.listing().dim) != spec.dim:
        raise BuildError(
            f"build.calibration: expected descriptors of {spec.dim} dimensions as in {spec.source_url}, got {dim} in {url}"
        )
    drawn = WholePeople(MOST_ROWS, generator)
    for part in source.partitions(spec.build.partition_rows):
        read = source.read(part)
        drawn.add(read.descriptors, read.people or [""] * len(read.descriptors))
    rows = drawn.rows.astype(np.float32)
    _, people = np.unique(drawn.people.astype(str), return_inverse=True)
    first, second = pairs(people, generator)
    # the same photo twice says nothing about another photo
    other = np.einsum("ij,ij->i", rows[first], rows[second]) < SAME_PHOTO
    first, second = first[other], second[other]
    count = len(np.unique(people[first]))
    check(url, dim, count, len(first))
    return fitted(rows[first], rows[second], f"{url}, {count:,} people")


def check(url: str, dim: int, people: int, count: int) -> None:
    """Raise BuildError, with what is needed, when so many pairs of so many people are too few."""
    needed = max(LEAST_PAIRS, PAIRS_PER_DIMENSION * dim)
    if people < LEAST_PEOPLE or count < needed:
        raise BuildError(
            f"build.calibration: {url} gives {count:,} pairs of photos of {people:,} people; at "
            f"least {needed:,} pairs of {LEAST_PEOPLE} people are needed for {dim} dimensions: give more labelled descriptors "
            "(the column of persons is source.person_column), or leave the setting out to use the shipped model"
        )


def pairs(people: Numbers, generator: np.random.Generator) -> tuple[Numbers, Numbers]:
    """Positions (m,), (m,) of two photos of one person, from the codes (n,) of who is on them.

    The photos of a person are put into a random ring and each is paired with the next, so that no pair occurs twice
    and none counts more than another; of a person at most MOST_OF_ONE, of two photos one.
    """
    order = generator.permutation(len(people))
    order = order[np.argsort(people[order], kind="stable")]
    _, starts, sizes = np.unique(people[order], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(starts, sizes)
    size = np.repeat(sizes, sizes)
    taken = place < np.minimum(np.where(size == 2, 1, np.where(size == 1, 0, size)), MOST_OF_ONE)
    following = np.repeat(starts, sizes) + (place + 1) % size
    return order[taken], order[following[taken]]


def fitted(first: Floats, second: Floats, source: str) -> Noise:
    """The model of pairs of photos (m, d), (m, d) of unit norm.

    c: the quantile function of their cosines, which, unlike a cosine to a mean of few photos, has no bias.
    w: what of the second is not the first, normalised: w = (u - c m) / sqrt(1 - c²); its covariance is estimated.
    Fitted to one half of the people of LFW, on the other half: FNIR at FPIR .003 .104 (real second photos .105 ± .022,
    shipped model .075), rank-1 miss .015 (.024 ± .011, .009).
    """
    cosine = np.einsum("ij,ij->i", first, second).astype(np.float64)
    rest = second - cosine[:, None].astype(np.float32) * first
    rest /= np.linalg.norm(rest, axis=1, keepdims=True)
    quantiles: NDArray[np.float64] = np.quantile(cosine, np.linspace(0, 1, GRID))
    said = (
        f"c is drawn from the quantile function of the cosines of {len(first):,} pairs of photos ({source}); w is normal noise "
        "with the covariance of what these pairs differ by, made orthogonal to m and normalised"
    )
    return Noise(quantiles, 1, noise_shape_of(rest), said, {"calibration": source, "pairs": len(first)})
