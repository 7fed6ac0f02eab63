"""Spherical k-means with exact sums: neither the order of rows nor who added them changes a centroid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.device.verbs import FIXED_POINT, Device, Floats, Ids
from pipeline.errors import PlanImpossible

ITERATIONS = 10
"""As many as faiss makes for cells."""

LEAST_PER_CELL = 8
"""Training rows a cell needs at least; faiss warns below 39."""

TURN = 1e-3
"""Length of the turn, of a sum's own length, by which an empty cell's centroid leaves that of the cell it halves."""


@dataclass(frozen=True, slots=True)
class Partial:
    """What rows add up to, cell by cell: integers, so that partial sums give the same total in any order."""

    sums: Ids
    """(cells, d) in fixed point."""
    sizes: Ids
    """(cells,) rows."""
    objective: int
    """Sum of the rows' inner products with their centroids, in fixed point."""

    @classmethod
    def of(cls, rows: Floats, centroids: Floats, device: Device) -> Partial:
        """Of rows (n, d) float32, each in the cell of the nearest of (cells, d) centroids."""
        numbers, products = device.nearest(rows, centroids)
        return cls(*device.sums(rows, numbers, len(centroids)), fixed(products))

    def __add__(self, other: Partial) -> Partial:
        return Partial(self.sums + other.sums, self.sizes + other.sizes, self.objective + other.objective)

    def moved(self, seed: Sequence[int]) -> Floats:
        """The new centroids (cells, d) float32, unit-norm; `seed` turns those of empty cells."""
        return _unit(_repaired(self.sums, self.sizes, np.random.default_rng(seed)))

    def described(self) -> str:
        """For the log."""
        rows = int(self.sizes.sum())
        similarity = self.objective / FIXED_POINT / max(rows, 1)
        return (
            f"{len(self.sizes)} cells of {rows} rows: mean similarity to the centroid {similarity:.4f}, "
            f"largest cell {self.sizes.max()} rows, {(self.sizes == 0).sum()} empty"
        )


def fixed(products: Floats) -> int:
    """The sum of inner products in fixed point: an integer, the same in any order."""
    return int(np.rint(products.astype(np.float64) * FIXED_POINT).astype(np.int64).sum())


def check_rows(rows: int, cells: int) -> None:
    """Raise PlanImpossible when a sample has fewer than 8 rows a cell."""
    if rows < cells * LEAST_PER_CELL:
        raise PlanImpossible(
            f"{cells} cells need at least {cells * LEAST_PER_CELL} training rows, the sample has {rows}: "
            "raise build.sample_rows, or choose a recipe without cells"
        )


def spherical(rows: Floats, cells: int, device: Device, *, seed: int) -> Floats:
    """Centroids (cells, d) float32, unit-norm, for rows (n, d) float32; see `spherical_of`.

    Raises PlanImpossible when there are fewer than 8 rows a cell.
    """
    check_rows(len(rows), cells)
    return spherical_of([rows], cells, device, seed=[seed])[0]


def spherical_of(parts: Sequence[Floats], cells: int, device: Device, *, seed: Sequence[int]) -> tuple[Floats, Partial]:
    """Centroids (cells, d) float32, unit-norm, for the rows of all parts, each (n, d) float32; and the last round's sums.

    Lloyd's iterations by largest inner product (Dhillon & Modha, 2001), from distinct random rows.
    A cell that loses all rows takes over half of the largest one.  The bytes are those of the same rounds
    done part by part elsewhere (`pipeline.clustering.rounds`): here only rows that changed their cell are summed again.
    """
    chosen = starting(sum(map(len, parts)), cells, seed)
    centroids = unit(picked(parts, chosen))
    before: list[Ids] = []
    for number in range(ITERATIONS):
        found = [device.nearest(rows, centroids) for rows in parts]
        if not before:
            summed = [device.sums(rows, numbers, cells)[0] for rows, (numbers, _) in zip(parts, found, strict=True)]
            sums = np.sum(summed, axis=0)
        else:
            for rows, old, (new, _) in zip(parts, before, found, strict=True):
                sums += _change(rows, old, new, device, cells)
        before = [numbers for numbers, _ in found]
        sizes = np.bincount(np.concatenate(before), minlength=cells).astype(np.int64)
        partial = Partial(sums, sizes, sum(fixed(products) for _, products in found))
        centroids = partial.moved([*seed, number])
    return centroids, partial


def starting(rows: int, cells: int, seed: Sequence[int]) -> Ids:
    """Positions (cells,) of the rows that are the first centroids: distinct and random, ascending."""
    if rows < cells:  # fewer rows than cells: copies, whose cells stay empty until they take half of a larger one
        return np.sort(np.arange(cells, dtype=np.int64) % rows)
    return np.sort(np.random.default_rng(seed).choice(rows, cells, replace=False)).astype(np.int64)


def picked(parts: Iterable[Floats], positions: Ids) -> Floats:
    """The rows (n, d) at ascending positions of all parts in a row, holding one part at a time."""
    found, first = [], 0
    for rows in parts:
        inside = positions[(positions >= first) & (positions < first + len(rows))]
        found.append(rows[inside - first])
        first += len(rows)
    return np.concatenate(found)


def unit(rows: NDArray[np.floating]) -> Floats:
    """Rows (n, d) scaled to length one; zeros stay zeros."""
    return _unit(rows.astype(np.float64))


def _change(rows: Floats, old: Ids, new: Ids, device: Device, cells: int) -> Ids:
    """What sums gain and lose by the rows that changed their cell."""
    changed = np.flatnonzero(old != new)
    moving = rows[changed]
    gained: Ids = device.sums(moving, new[changed], cells)[0]
    gained -= device.sums(moving, old[changed], cells)[0]
    return gained


def _repaired(total: Ids, sizes: Ids, generator: np.random.Generator) -> NDArray[np.float64]:
    """Sums in which every empty cell got a slightly turned copy of the largest cell's, which counts half from then on."""
    sums, left = total / FIXED_POINT, sizes.astype(np.float64)
    for empty in np.flatnonzero(sizes == 0):
        largest = int(left.argmax())
        turn = generator.standard_normal(sums.shape[1]) * TURN * np.linalg.norm(sums[largest])
        sums[empty] = sums[largest] + turn
        left[empty] = left[largest] = left[largest] / 2
    return np.asarray(sums, np.float64)


def _unit(sums: NDArray[np.float64]) -> Floats:
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.ascontiguousarray(sums / np.where(norms > 0, norms, 1.0), np.float32)
