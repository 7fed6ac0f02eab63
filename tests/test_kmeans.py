"""Spherical k-means with exact sums."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from pipeline.device.cpu import Cpu
from pipeline.device.threads import pinned
from pipeline.errors import PlanImpossible
from pipeline.kmeans import spherical


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


def test_too_small_a_sample_is_refused_with_both_numbers() -> None:
    with pytest.raises(PlanImpossible, match="64 cells need at least 512 training rows, the sample has 100"):
        spherical(unit(100, 8, 4), 64, Cpu(), seed=1)
