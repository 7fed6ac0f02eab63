"""What thresholds are set by, of cases made by hand: scores, curve of errors, table, histograms, groups of probes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.quality.bounds import interval
from pipeline.quality.cohorts import cohorts, nearest_impostor
from pipeline.quality.figures import Rule, Side
from pipeline.quality.scores import NO_MATE, Scores, best_mates, shares_from
from pipeline.quality.tables import FPIRS, det, histograms, thresholds


def side(rows: list[list[tuple[float, int, bool]]]) -> Side:
    """Candidates as (similarity, number, is a mate)."""
    lists = [[[one[place] for one in row] for row in rows] for place in range(3)]
    return Side((np.array(lists[0], np.float32), np.array(lists[1], np.int64)), np.array(lists[2]))


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@given(st.data())
def test_the_best_mate_says_what_accepted_says(data: st.DataObject) -> None:
    candidate = st.tuples(st.sampled_from([0.1, 0.4, 0.5, 0.8]), st.integers(0, 5), st.booleans())
    rows = data.draw(st.lists(st.lists(candidate, min_size=3, max_size=3), min_size=1, max_size=8))
    made, k = side(rows), data.draw(st.integers(1, 4))
    for threshold in (-1.0, 0.3, 0.5, 0.9):
        assert ((best_mates(made, k) >= threshold) == made.accepted(threshold, k)).all()


@given(st.lists(st.floats(-1, 1, width=32), max_size=30), st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=9))
def test_shares_are_counted(values: list[float], at: list[float]) -> None:
    counted = [sum(value >= one for value in values) / max(len(values), 1) for one in at]
    assert shares_from(floats(*values), np.array(at, np.float64)).tolist() == counted


HUNDRED = np.linspace(0, 0.99, 100).astype(np.float32)
SCORES = Scores(
    exact=floats(0.95, 0.9, 0.5, NO_MATE), index=floats(0.95, 0.2, 0.5, NO_MATE),
    impostors=HUNDRED, index_impostors=HUNDRED[::-1].copy(), fpir=0.2,
)  # fmt: skip


def test_the_table_by_hand() -> None:
    rows = thresholds(SCORES, 0.95)
    assert [one["fpir"] for one in rows] == [0.2, *FPIRS]
    assert [one["resolvable"] for one in rows] == [True] * 4 + [False] * 4
    tenth = rows[1]
    assert tenth["threshold"] == pytest.approx(0.89, abs=1e-3)
    assert (tenth["fnir_exact"], tenth["fnir_index"], tenth["added_fnir"]) == (0.5, 0.75, 0.25)
    assert tenth["fpir_exact"] == tenth["fpir_index"] == pytest.approx(0.1)
    assert tenth["intervals"]["fnir_index"] == list(interval(3, 4, 0.95))
    assert tenth["intervals"]["fpir_exact"] == list(interval(10, 100, 0.95))
    assert rows[-1] == {
        "fpir": 0.0001, "resolvable": False, "threshold": None, "fnir_exact": None, "fnir_index": None,
        "added_fnir": None, "fpir_exact": None, "fpir_index": None,
        "intervals": dict.fromkeys(("fnir_exact", "fnir_index", "added_fnir", "fpir_exact", "fpir_index")),
    }  # fmt: skip


def test_the_curve_agrees_with_the_table() -> None:
    curve = det(SCORES)
    assert len({len(column) for column in curve.values()}) == 1
    assert curve["thresholds"] == sorted(set(curve["thresholds"]))
    assert curve["fpir"] == sorted(curve["fpir"], reverse=True)
    assert curve["fnir_exact"] == sorted(curve["fnir_exact"])
    assert (curve["fpir"][0], curve["fpir"][-1]) == (1.0, pytest.approx(0.01))
    row = thresholds(SCORES, 0.95)[1]
    at = curve["thresholds"].index(row["threshold"])
    for name, column in (
        ("fpir_exact", "fpir"),
        ("fpir_index", "fpir_index"),
        ("fnir_exact",) * 2,
        ("fnir_index",) * 2,
    ):
        assert curve[column][at] == pytest.approx(row[name]), name
    assert curve["fnir_exact"][0] == 0.25  # everything is accepted but who has no mate among the candidates


def test_the_histogram_counts_everybody_once() -> None:
    counted = histograms(SCORES)
    assert (sum(counted["mates"]), sum(counted["impostors"]), counted["mates_missing"]) == (3, 100, 1)
    assert len(counted["edges"]) == len(counted["mates"]) + 1
    top = histograms(Scores(floats(1.0004), floats(1.0004), floats(-0.3), floats(-0.3), 0.1))
    assert (top["mates"][-1], top["impostors"][0], top["edges"][0]) == (1, 1, pytest.approx(-0.3))


def test_nothing_gives_empty_tables() -> None:
    none = floats()
    nothing = Scores(none, none, none, none, 0.2)
    assert all(column == [] for column in det(nothing).values())
    assert [one["resolvable"] for one in thresholds(nothing, 0.95)] == [False] * 8
    assert sum(histograms(nothing)["mates"]) == 0


RULE = Rule(threshold=0.5, k=2, confidence=0.95)


def test_groups_by_hand() -> None:
    exact = side([
        [(0.9, 1, True), (0.4, 2, False)], [(0.8, 3, False), (0.7, 4, True)],
        [(0.6, 5, True), (0.3, 6, False)], [(0.45, 7, True), (0.2, 8, False)], [(0.9, 9, True), (0.8, 10, True)],
    ])  # fmt: skip
    index = side([
        [(0.9, 1, True), (0.4, 2, False)], [(0.8, 3, False), (-1, -1, False)],
        [(0.6, 5, True), (0.3, 6, False)], [(0.45, 7, True), (0.2, 8, False)], [(0.9, 9, True), (0.8, 10, True)],
    ])  # fmt: skip
    rows = cohorts(exact, index, np.array([1, 1, 4, 5, 40]), RULE)
    by = {(one["by"], one["cohort"]): one for one in rows}
    one, several = by["templates of the person", "1"], by["templates of the person", "3 to 5"]
    assert (one["probes"], one["fnir_exact"], one["fnir_index"], one["added_fnir"]) == (2, 0.0, 0.5, 0.5)
    assert one["intervals"]["added_fnir"] == list(interval(1, 2, 0.95))
    assert one["recall_at_10"] == 0.75
    assert (several["probes"], several["fnir_exact"], several["added_fnir"]) == (2, 0.5, 0.0)
    assert by["templates of the person", "11 and more"]["probes"] == 1
    assert ("templates of the person", "2") not in by  # nobody
    quarters = [one for one in rows if one["by"] == "nearest impostor"]
    assert [one["probes"] for one in quarters] == [1, 1, 1, 1]  # all candidates of the fifth are mates
    assert [one["fnir_index"] for one in quarters] == [1.0, 0.0, 0.0, 1.0]
    assert nearest_impostor(exact).tolist() == pytest.approx([0.4, 0.8, 0.3, 0.2, -1])
