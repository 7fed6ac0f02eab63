"""Spherical k-means with exact sums."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from pipeline.device.cpu import Cpu
from pipeline.device.threads import pinned
from pipeline.errors import PlanImpossible
from pipeline.kmeans import Partial, spherical, spherical_of


def unit(rows: int, dim: int, seed: int) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def objective(rows: np.ndarray, centroids: np.ndarray) -> float:
    return float((rows @ centroids.T).max(axis=1).mean())


def test_objective_is_within_half_a_percent_of_faiss() -> None:
    rows = unit(20_000, 32, 1)
    with pinned(1):
        ours = spherical(rows, 128, Cpu(), seed=1)
        theirs = faiss.Kmeans(32, 128, niter=12, spherical=True, seed=1)
        theirs.train(rows)
    assert objective(rows, ours) >= 0.995 * objective(rows, theirs.centroids)


def test_same_seed_same_bytes_and_another_seed_others() -> None:
    rows = unit(5_000, 16, 2)
    with pinned(1):
        first, second, other = (spherical(rows, 32, Cpu(), seed=seed) for seed in (7, 7, 8))
    assert first.tobytes() == second.tobytes() != other.tobytes()


def test_empty_cells_are_filled() -> None:
    """Fewer distinct rows than cells: duplicates leave cells without rows."""
    rows = np.repeat(unit(10, 8, 3), 40, axis=0)
    with pinned(1):
        centroids = spherical(rows, 20, Cpu(), seed=1)
    assert np.isfinite(centroids).all()
    assert np.allclose(np.linalg.norm(centroids, axis=1), 1.0, atol=1e-5)
    assert objective(rows, centroids) > 0.99


def test_an_empty_cell_takes_half_of_the_largest() -> None:
    """And the next one half of what is the largest then; cells with rows are where their rows are."""
    rows = unit(4, 16, 5)
    sizes = np.array([10, 0, 6, 0, 1], np.int64)
    sums = np.zeros((5, 16), np.int64)
    for cell, row in ((0, 0), (2, 1), (4, 2)):
        sums[cell] = np.rint(rows[row] * 2.0**30).astype(np.int64) * sizes[cell]
    moved = Partial(sums, sizes, 0).moved([1])
    assert np.allclose(moved[[0, 2, 4]], rows[:3], atol=1e-6)
    assert 0.99 < moved[1] @ rows[0] < 1  # of 10 rows; then cell 2 with 6 is the largest, since cell 0 has 5
    assert 0.99 < moved[3] @ rows[1] < 1
    assert np.allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-6)


def test_parts_together_are_the_rounds_of_sums_of_parts() -> None:
    """Summing only what changed its cell gives what summing everything gives."""
    parts = [unit(700, 12, 6), unit(300, 12, 7), unit(0, 12, 8)]
    with pinned(1):
        found, last = spherical_of(parts, 20, Cpu(), seed=[3])
        again = spherical_of([part.copy() for part in parts], 20, Cpu(), seed=[3])[0]
        numbers = [Cpu().nearest(part, found)[0] for part in parts]
    assert found.tobytes() == again.tobytes()
    assert last.sizes.sum() == 1_000
    assert len(np.unique(np.concatenate(numbers))) == 20


def test_too_small_a_sample_is_refused_with_both_numbers() -> None:
    with pytest.raises(PlanImpossible, match="64 cells need at least 512 training rows, the sample has 100"):
        spherical(unit(100, 8, 4), 64, Cpu(), seed=1)
