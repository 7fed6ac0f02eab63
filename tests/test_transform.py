"""The projection in front of product codes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.transform import Spectrum, balanced, kept_dimensions, moment


def faces_like(rows: int, dim: int, rank: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    basis = np.linalg.qr(generator.standard_normal((dim, rank)))[0]
    scale = np.linspace(2.0, 0.2, rank)
    made = (generator.standard_normal((rows, rank)) * scale) @ basis.T
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float16)


def test_projection_keeps_inner_products_of_a_low_rank_list() -> None:
    rows = faces_like(4000, 64, 20)
    transform = Spectrum.of(moment(rows), len(rows)).balanced(32, 16)
    wide = rows.astype(np.float32)
    projected = wide @ transform.matrix.T
    assert projected.shape == (4000, 32)
    assert np.abs(projected[:50] @ projected.T - wide[:50] @ wide.T).max() < 5e-3
    assert np.abs(transform.matrix @ transform.matrix.T - np.eye(32)).max() < 1e-5


def test_spectrum_finds_the_rank() -> None:
    rows = faces_like(4000, 64, 20)
    found = Spectrum.of(moment(rows), len(rows))
    assert kept_dimensions(found.values, 0.995, 4) == 20
    assert np.all(np.diff(found.values) <= 1e-12)
    assert found.vectors.shape == (64, 64)


def test_moments_of_parts_add_up_to_that_of_the_list() -> None:
    rows = faces_like(4000, 64, 20)
    added = sum(moment(part) for part in np.array_split(rows, 3))
    assert np.allclose(added, rows.astype(np.float64).T @ rows.astype(np.float64), rtol=1e-4, atol=1e-3)


def test_kept_dimensions_never_exceed_the_descriptor() -> None:
    assert kept_dimensions(np.ones(50), 0.995, 32) == 50


@pytest.mark.parametrize("groups", [1, 8, 80])
def test_balanced_order_is_a_permutation_with_even_products(groups: int) -> None:
    values = np.arange(1, 161, dtype=np.float64)[::-1] ** 2
    order = balanced(values, groups)
    assert sorted(order) == list(range(160))
    logs = np.log(values[order]).reshape(groups, -1).sum(axis=1)
    unbalanced = np.log(values).reshape(groups, -1).sum(axis=1)
    assert np.ptp(logs) <= np.ptp(unbalanced)


@given(st.integers(1, 12), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_balanced_fills_every_group(groups: int, width: int, seed: int) -> None:
    values = np.sort(np.random.default_rng(seed).random(groups * width))[::-1]
    assert sorted(balanced(values, groups)) == list(range(groups * width))
