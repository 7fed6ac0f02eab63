"""The largest inner products by blocks are those of one product and a sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.device import products
from pipeline.device.products import largest, nearest


def made(seed: int, rows: int, dim: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


@given(
    st.integers(1, 40),
    st.integers(1, 300),
    st.integers(1, 30),
    st.sampled_from([1, 7, 64, 1 << 20]),
    st.integers(0, 99),
)
def test_they_are_those_of_one_product(queries: int, rows: int, k: int, at_once: int, seed: int) -> None:
    asked, against, k = made(seed, queries), made(seed + 1, rows), min(k, rows)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(products, "AT_ONCE", at_once)
        patched.setattr(products, "LEAST_ROWS", 1)
        similarities, numbers = largest(asked, against, k)
    whole = asked @ against.T
    assert np.allclose(similarities, -np.sort(-whole, axis=1)[:, :k], atol=1e-5)
    assert np.allclose(np.take_along_axis(whole, numbers, axis=1), similarities, atol=1e-5)
    assert all(len(set(line)) == k for line in numbers.tolist())
    assert (np.diff(similarities, axis=1) <= 0).all()


@pytest.mark.parametrize("size", [1, 16, 1 << 20])
def test_what_is_hidden_is_not_found(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "AT_ONCE", size)
    monkeypatch.setattr(products, "LEAST_ROWS", 5)
    asked, against = made(1, 6), made(2, 50)
    gone = np.arange(50) % 3 == 0

    def hide(found: np.ndarray, first: int) -> None:
        found[:, gone[first : first + found.shape[1]]] = -np.inf

    similarities, numbers = largest(asked, against, 40, hide)
    left = np.flatnonzero(~gone)
    whole = asked @ against[left].T
    assert (numbers[:, len(left) :] == -1).all()
    assert np.isneginf(similarities[:, len(left) :]).all()
    assert (np.sort(numbers[:, : len(left)], axis=1) == left).all()
    assert np.allclose(similarities[:, : len(left)], -np.sort(-whole, axis=1), atol=1e-5)


def test_equal_rows_come_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "LEAST_ROWS", 4)
    monkeypatch.setattr(products, "AT_ONCE", 1)
    one = made(3, 1)
    _, numbers = largest(one, np.repeat(one, 9, axis=0), 9)
    assert numbers.tolist() == [list(range(9))]


def test_the_nearest_centroid_is_the_first_of_equal_ones() -> None:
    centroids = made(4, 20)
    centroids[13] = centroids[5]
    rows = made(5, 700)
    numbers, similarities = nearest(rows, centroids)
    whole = rows @ centroids.T
    assert (numbers == whole.argmax(axis=1)).mean() > 0.999  # blocks of another shape may round otherwise
    assert 13 not in numbers
    assert np.allclose(similarities, whole.max(axis=1), atol=1e-5)
