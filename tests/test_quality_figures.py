"""Figures of cases made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.quality.bounds import upper_bound
from pipeline.quality.figures import Rule, Side, compare, intervals, threshold_at


def test_at_most_the_share_reaches_the_threshold() -> None:
    best = np.linspace(0, 0.999, 1_000).astype(np.float32)
    threshold = threshold_at(best, 0.003)
    assert (best >= threshold).sum() == 3
    assert (best >= np.nextafter(np.float32(threshold), np.float32(-1))).sum() == 4  # no lower one would do


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=200), st.sampled_from([0.003, 0.01, 0.1, 0.5]))
def test_ties_never_exceed_the_share(best: list[float], fpir: float) -> None:
    values = np.array(best, np.float32)
    assert (values >= threshold_at(values, fpir)).sum() <= fpir * len(values) + 1e-9


def test_without_non_mates_everything_reaches_the_threshold() -> None:
    assert threshold_at(np.empty(0, np.float32), 0.003) == -1.0
    assert threshold_at(np.array([0.5], np.float32), 1.0) == -1.0


def side(rows: list[list[tuple[float, int, bool]]]) -> Side:
    """Candidates as (similarity, number, is a mate)."""
    return Side(
        (
            np.array([[one[0] for one in row] for row in rows], np.float32),
            np.array([[one[1] for one in row] for row in rows], np.int64),
        ),
        np.array([[one[2] for one in row] for row in rows]),
    )


EXACT = side([
    [(0.9, 1, True), (0.4, 2, False)],
    [(0.8, 3, False), (0.7, 4, True)],
    [(0.6, 5, True), (0.3, 6, False)],
    [(0.45, 7, True), (0.2, 8, False)],  # below the threshold: exact search does not accept it
])  # fmt: skip
INDEX = side([
    [(0.9, 1, True), (0.4, 2, False)],  # the same
    [(0.8, 3, False), (-1, -1, False)],  # loses its mate
    [(0.49, 5, True), (0.3, 6, False)],  # finds it with a similarity that misses the threshold
    [(0.51, 7, True), (0.2, 8, False)],  # gains one
])  # fmt: skip
RULE = Rule(threshold=0.5, k=2, confidence=0.95)


def test_losses_are_gross_and_paired() -> None:
    figures = compare(EXACT, INDEX, RULE)
    assert (figures.probes, figures.lost, figures.gained) == (4, 2, 1)
    assert figures.added_fnir == 0.5  # a gain makes up for nothing
    assert figures.added_fnir_bound == upper_bound(2, 4, 0.95)
    assert figures.exact_fnir == 0.25
    assert (figures.rank1_miss, figures.exact_rank1_miss) == (0.25, 0.25)
    assert figures.recall_at_1 == 1.0
    assert figures.recall_at_10 == 7 / 8


def test_a_mate_beyond_k_is_not_found() -> None:
    figures = compare(EXACT, INDEX, Rule(threshold=0.5, k=1, confidence=0.95))
    assert figures.exact_fnir == 0.5  # the second probe's mate is second
    assert figures.lost == 1


def test_exact_search_loses_nothing_against_itself() -> None:
    figures = compare(EXACT, EXACT, RULE)
    assert (figures.lost, figures.gained, figures.recall_at_10) == (0, 0, 1.0)


def test_no_probes_prove_nothing() -> None:
    none = Side((np.empty((0, 10), np.float32), np.empty((0, 10), np.int64)), np.empty((0, 10), bool))
    figures = compare(none, none, RULE)
    assert (figures.probes, figures.added_fnir, figures.added_fnir_bound) == (0, 0.0, 1.0)
    assert all(low <= high for low, high in intervals(none, none, RULE).values())


def test_every_interval_encloses_its_figure() -> None:
    figures = compare(EXACT, INDEX, RULE).to_json()
    found = intervals(EXACT, INDEX, RULE)
    assert set(found) == {"added_fnir", "exact_fnir", "rank1_miss", "exact_rank1_miss", "recall_at_1", "recall_at_10"}
    for name, (low, high) in found.items():
        assert low <= figures[name] <= high, name
    assert found["added_fnir"] == pytest.approx((0.0676, 0.9324), abs=1e-4)  # 2 of 4, by the tables


def test_recall_counts_real_rows_only() -> None:
    """A list shorter than ten: empty places of exact search are not to be found."""
    exact = side([[(0.5, 0, True), (-1, -1, False), (-1, -1, False)]])
    assert compare(exact, exact, RULE).recall_at_10 == 1.0
    missing = side([[(-1, -1, False)] * 3])
    assert compare(exact, missing, RULE).recall_at_10 == 0.0
