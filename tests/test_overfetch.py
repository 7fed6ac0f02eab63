"""Searching where removed rows cannot be left out, over a plain index that stands in for a GPU's."""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np
import pytest

from pipeline.search.overfetch import live
from pipeline.search.removed import Removed

ROWS, DIM = 3000, 48


def gallery(rows: int = ROWS, seed: int = 5) -> np.ndarray:
    generator = np.random.default_rng(seed)
    low = generator.standard_normal((rows, 20)) @ np.random.default_rng(0).standard_normal((20, DIM))
    return (low / np.linalg.norm(low, axis=1, keepdims=True)).astype(np.float32)


def probes(count: int = 60) -> np.ndarray:
    near = gallery()[:count] + gallery(count, seed=9) * 0.3
    return near / np.linalg.norm(near, axis=1, keepdims=True)


def plain(rows: np.ndarray) -> Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]:
    flat = faiss.IndexFlatIP(DIM)
    flat.add(rows)
    return flat.search


def allowed(k: int, gone: list[int]) -> np.ndarray:
    """Numbers of the k best live rows by brute force."""
    products = probes() @ gallery().T
    products[:, gone] = -2
    return np.argsort(-products, axis=1)[:, :k]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.97])
def test_over_fetching_finds_what_a_selector_finds(share: float) -> None:
    gone = np.random.default_rng(1).permutation(ROWS)[: int(ROWS * share)].tolist()
    depths = []

    def fetch(queries: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
        depths.append((len(queries), depth))
        return plain(gallery())(queries, depth)

    similarities, numbers, cut = live(probes(), 20, Removed.none(ROWS).without(gone), fetch, most=ROWS)
    assert (np.sort(numbers) == np.sort(allowed(20, gone))).all()
    assert (np.diff(similarities, axis=1) <= 0).all()
    assert not cut.any()
    assert depths[0][0] == 60
    assert depths == sorted(depths, key=lambda pair: pair[1])  # ever deeper, for those alone that lack rows
    assert sum(count for count, _ in depths) < 3 * 60


def test_only_queries_that_lack_rows_are_repeated() -> None:
    nearest = plain(gallery())(probes(1), 150)[1][0]
    calls = []

    def fetch(queries: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
        calls.append((len(queries), depth))
        return plain(gallery())(queries, depth)

    removed = Removed.none(ROWS).without(nearest.tolist())
    far = -probes(1)  # the other end of the gallery, where nothing was removed
    _, numbers, cut = live(np.concatenate([probes(1), far]), 10, removed, fetch, most=2048)
    assert calls[0] == (2, 27)
    assert [count for count, _ in calls[1:]] == [1] * (len(calls) - 1)
    assert len(calls) > 2
    assert not set(nearest) & set(numbers[0])
    assert (numbers >= 0).all()
    assert not cut.any()


def test_a_search_that_ends_before_enough_is_found_is_not_cut_off() -> None:
    removed = Removed.none(40).without(range(35))
    similarities, numbers, cut = live(probes(3), 10, removed, plain(gallery()[:40]), most=64)
    assert (np.sort(numbers[:, :5]) == np.arange(35, 40)).all()
    assert (numbers[:, 5:] == -1).all()
    assert (similarities[:, 5:] == -1).all()
    assert not cut.any()


def test_what_is_cut_off_is_said() -> None:
    nearest = plain(gallery())(probes(1), 100)[1][0]
    _, numbers, cut = live(probes(1), 10, Removed.none(ROWS).without(nearest.tolist()), plain(gallery()), most=105)
    assert cut.tolist() == [True]
    assert (numbers[0] >= 0).sum() == 5


def test_alive_agrees_with_the_selector() -> None:
    removed = Removed.none(21).without([0, 7, 8, 20])
    numbers = np.array([[0, 1, 7], [8, 19, 20], [-1, 2, -1]])
    assert removed.alive(numbers).tolist() == [[False, True, False], [False, True, False], [False, True, False]]
    assert [removed.selector.is_member(number) for number in range(21)] == removed.alive(np.arange(21)).tolist()
