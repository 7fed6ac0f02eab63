"""What the pictures of a report show: lines through unbeaten points, ticks at round numbers, nothing without data."""

from __future__ import annotations

from typing import Any

import pytest
from bokeh.models import Line, Quad
from hypothesis import given
from hypothesis import strategies as st

from pipeline.quality.plots import Plots, unbeaten
from pipeline.quality.ticks import round_numbers


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=12))
def test_unbeaten_points_are_those_that_no_other_beats(pairs: list[tuple[int, int]]) -> None:
    kept = unbeaten([(float(rate), float(recall)) for rate, recall in pairs])
    beaten = [
        one
        for one in pairs
        if any(rate >= one[0] and recall >= one[1] and (rate, recall) != one for rate, recall in pairs)
    ]
    assert kept == sorted({(float(rate), float(recall)) for rate, recall in set(pairs) - set(beaten)})


@given(st.floats(1e-6, 1e5), st.floats(1.001, 1e7))
def test_ticks_enclose_what_is_drawn(low: float, span: float) -> None:
    ticks = round_numbers(low, low * span)
    assert ticks == sorted(ticks)
    assert ticks[0] < low
    assert ticks[-1] > low * span
    inside = [tick for tick in ticks if low <= tick <= low * span]
    assert len(inside) <= 14
    assert len(inside) >= 2 or span < 10


def point(name: str, rerank: int, rate: float, recall: float) -> dict[str, Any]:
    speeds = [{"batch": size, "qps": rate * (2 if size > 1 else 1)} for size in (1, 8, 64, 256)]
    return {
        "name": name, "nprobe": 1, "rerank": rerank, "cost_us": 10.0, "batch_us": 1e6 / rate, "recall_at_10": recall,
        "added_fnir": 0.0, "added_fnir_bound": 0.0, "speeds": speeds,
    }  # fmt: skip


def plots(**changes: Any) -> Plots:
    det = {
        "thresholds": [0.2, 0.5, 0.6], "fpir": [1.0, 0.1, 0.0], "fpir_index": [1.0, 0.1, 0.0],
        "fnir_exact": [0.0, 0.1, 0.3], "fnir_index": [0.0, 0.2, 0.3],
    }  # fmt: skip
    fields: dict[str, Any] = {
        "curve": [point("scan", 80, 9e3, 0.98), point("scan", 160, 7e3, 0.99), point("scan", 320, 6e3, 0.97)],
        "chosen": {"name": "scan", "nprobe": 1, "rerank": 80}, "det": det, "threshold": 0.5, "target": 0.001, "fpir": 0.003,
        "histograms": {"edges": [0.0, 0.5, 1.0], "mates": [0, 4], "impostors": [7, 1], "mates_missing": 0},
    }  # fmt: skip
    return Plots(**(fields | changes))


def drawn(plot: Any, kind: type[Any]) -> list[Any]:
    return [one.data_source.data for one in plot.renderers if isinstance(one.glyph, kind)]


def test_the_curve_of_errors_leaves_out_what_a_logarithm_has_not() -> None:
    exact, index = drawn(plots().figures()["det"], Line)
    assert (list(exact["x"]), list(exact["y"])) == ([0.1], [0.1])
    assert (list(index["x"]), list(index["y"])) == ([0.1], [0.2])


def test_recall_is_drawn_in_large_batches_and_one_by_one() -> None:
    large, single = drawn(plots().figures()["recall"], Line)
    assert (list(large["x"]), list(large["y"])) == ([14e3, 18e3], [0.99, 0.98])
    assert list(single["x"]) == [7e3, 9e3]


def test_empty_bins_are_not_drawn_on_a_logarithmic_axis() -> None:
    impostors, mates = drawn(plots().figures()["histogram"], Quad)
    assert (list(impostors["top"]), list(mates["top"]), list(mates["left"])) == ([7, 1], [4], [0.5])


def test_nothing_measured_is_drawn_as_nothing() -> None:
    """A list without non-mates, whose only candidate was predicted."""
    only = {name: value for name, value in point("exact", 0, 1e3, 1.0).items() if name not in ("batch_us", "speeds")}
    det: dict[str, list[float]] = {name: [] for name in plots().det}
    histograms = {"edges": [0.0, 1.0], "mates": [0], "impostors": [0], "mates_missing": 3}
    places, scripts = plots(curve=[only], det=det, histograms=histograms).html()
    assert set(places) == {"det", "loss", "recall", "histogram"}
    assert "<script" in scripts


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.012, 0.09, [0.02, 0.05]), (1, 1_000, [1, 3, 10, 30, 100, 300, 1_000])]
)
def test_ticks_by_hand(low: float, high: float, expected: list[float]) -> None:
    assert [tick for tick in round_numbers(low, high) if low <= tick <= high] == expected
