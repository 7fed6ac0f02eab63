"""Spherical k-means whose sums are exact, so that the order of rows cannot change a centroid."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from pipeline.device.verbs import FIXED_POINT, Device, Floats, Ids
from pipeline.errors import PlanImpossible

logger = logging.getLogger(__name__)

ITERATIONS = 10
"""As many as faiss makes for cells."""

LEAST_PER_CELL = 8
"""Training rows a cell needs at least; faiss warns below 39."""


def spherical(rows: Floats, cells: int, device: Device, *, seed: int) -> Floats:
    """Centroids (cells, d) float32, unit-norm, for rows (n, d) float32.

    Lloyd's iterations by largest inner product (Dhillon & Modha, 2001), from distinct random rows.
    A cell that loses all rows takes over half of the largest one.  Raises PlanImpossible when the
    sample has fewer than 8 rows a cell.
    """
    if len(rows) < cells * LEAST_PER_CELL:
        raise PlanImpossible(
            f"{cells} cells need at least {cells * LEAST_PER_CELL} training rows, the sample has {len(rows)}"
        )
    generator = np.random.default_rng(seed)
    centroids = _unit(rows[np.sort(generator.choice(len(rows), cells, replace=False))].astype(np.float64))
    for _ in range(ITERATIONS):
        numbers, similarities = device.nearest(rows, centroids)
        total, sizes = device.sums(rows, numbers, cells)
        centroids = _unit(_repaired(total, sizes, generator))
    logger.info(
        "%d cells: mean similarity to the centroid %.4f, largest cell %d rows.", cells, similarities.mean(), sizes.max()
    )
    return centroids


def _repaired(total: Ids, sizes: Ids, generator: np.random.Generator) -> NDArray[np.float64]:
    """Sums in which every empty cell got a slightly turned copy of the largest cell's, which counts half from then on."""
    sums, left = total / FIXED_POINT, sizes.astype(np.float64)
    for empty in np.flatnonzero(sizes == 0):
        largest = int(left.argmax())
        turn = generator.standard_normal(sums.shape[1]) * 1e-3 * np.linalg.norm(sums[largest])
        sums[empty] = sums[largest] + turn
        left[empty] = left[largest] = left[largest] / 2
    return np.asarray(sums, np.float64)


def _unit(sums: NDArray[np.float64]) -> Floats:
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.ascontiguousarray(sums / np.where(norms > 0, norms, 1.0), np.float32)
