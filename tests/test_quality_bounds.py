"""Clopper–Pearson bounds against published values and their own definition."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.quality.bounds import interval, lower_bound, needed, upper_bound


@pytest.mark.parametrize(
    ("events", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),  # tables of Clopper–Pearson at 95 %, two-sided
        (1, 10, 0.0025, 0.4450),
        (4, 20, 0.0573, 0.4366),
        (10, 100, 0.0490, 0.1762),
        (100, 100, 0.9638, 1.0),
    ],
)
def test_two_sided_intervals_are_those_of_the_tables(events: int, trials: int, low: float, high: float) -> None:
    assert interval(events, trials, 0.95) == pytest.approx((low, high), abs=5e-5)


def test_the_size_of_the_gating_half_follows_from_the_bound() -> None:
    assert needed(0.001, 0.95) == 2_995
    assert upper_bound(0, 2_995, 0.95) <= 0.001 < upper_bound(0, 2_994, 0.95)
    assert upper_bound(4, 10_000, 0.95) <= 0.001 < upper_bound(5, 10_000, 0.95)


def test_nothing_known_says_nothing() -> None:
    assert interval(0, 0, 0.95) == (0.0, 1.0)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))), st.floats(0.5, 0.999))
def test_the_bound_solves_its_definition(case: tuple[int, int], confidence: float) -> None:
    """P(X <= events) at the bound is the risk, computed in exact fractions."""
    events, trials = case
    share = Fraction(upper_bound(events, trials, confidence))
    tail = sum(math.comb(trials, hit) * share**hit * (1 - share) ** (trials - hit) for hit in range(events + 1))
    assert float(tail) == pytest.approx(1 - confidence, rel=1e-6)


@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_bounds_enclose_the_share(case: tuple[int, int]) -> None:
    events, trials = case
    low, high = lower_bound(events, trials, 0.95), upper_bound(events, trials, 0.95)
    assert 0 <= low <= events / trials <= high <= 1
    assert low < events / trials or events == 0
    assert high > events / trials or events == trials
