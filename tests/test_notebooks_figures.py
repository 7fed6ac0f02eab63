"""What notebooks compute: differences, thresholds, what the list itself says."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from published import bucket, publish_index, unit_rows
from reports import report_of

from pipeline.artifact import ArtifactError, Head, Manifest, head_key
from pipeline.notebooks.comparing import Estimate, changes, difference, previous, remarks
from pipeline.notebooks.operating import Traffic, days, non_mates_needed, rates_at, wish
from pipeline.notebooks.rehearsal import rehearse
from pipeline.quality.reading import Report

RANDOM = np.random.default_rng(5)
IMPOSTORS, MATES = RANDOM.normal(0.35, 0.05, 4_000), RANDOM.normal(0.7, 0.1, 3_000)


def wilson(events: int, trials: int) -> Estimate:
    z, p = 1.959964, events / trials
    middle, spread = p + z * z / (2 * trials), z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials**2))
    return Estimate(p, (middle - spread) / (1 + z * z / trials), (middle + spread) / (1 + z * z / trials))


@pytest.mark.parametrize(
    ("before", "after", "low", "high"),
    [((48, 80), (56, 70), 0.0524, 0.3339), ((3, 10), (9, 10), 0.1705, 0.8090), ((0, 10), (10, 10), 0.6075, 1.0)],
)
def test_intervals_of_differences_are_newcombe_s(
    before: tuple[int, int], after: tuple[int, int], low: float, high: float
) -> None:
    """Statistics in Medicine 17 (1998), p. 873, table II, method 10."""
    gap = difference(wilson(*before), wilson(*after))
    assert (gap.low, gap.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_better_and_worse_need_an_interval_without_zero() -> None:
    before = report_of(IMPOSTORS, MATES, exact_fnir=0.10, recall_at_1=0.9, recall_at_10=0.95, rank1_miss=0.02)
    after = report_of(
        IMPOSTORS, MATES, exact_fnir=0.05, recall_at_1=0.8, recall_at_10=0.99, rank1_miss=0.021, index_id="two"
    )
    found = {one.figure: one.verdict for one in changes(before, after)}
    assert found == {
        "added FNIR": "not told apart", "rank-1 miss": "not told apart", "recall@1": "worse", "recall@10": "better",
        "FPIR at the threshold": "not told apart", "FNIR of exact search": "better",
        "rank-1 miss of exact search": "not told apart",
    }  # fmt: skip


def test_remarks_name_what_else_changed() -> None:
    before = report_of(IMPOSTORS, MATES, rows=10_000)
    after = report_of(IMPOSTORS, MATES, rows=20_000, index_id="two")
    after = replace(after, probes={**after.probes, "mated": "photos"})
    after.data["decision"]["quality"]["fpir"] = 0.003
    said = remarks(before, after)
    assert [one.partition(" ")[0] for one in said] == ["fpir", "the", "mated"]
    assert "the list had 10,000 rows, has 20,000" in said[1]
    assert remarks(before, report_of(IMPOSTORS, MATES, rows=10_000, index_id="two")) == []
    assert "only one version is published" in remarks(before, before)[0]


def test_the_version_before_is_the_head_s(tmp_path: Path) -> None:
    store = bucket(tmp_path / "bucket")
    store.write(head_key("a"), Head(label="a", index_id="3", previous=("2", "1")).to_json())
    assert [previous(store, "a", one) for one in ("3", "2", "1", "unknown")] == ["2", "1", "1", "3"]


def test_a_day_is_rates_times_searches() -> None:
    report = report_of(IMPOSTORS, MATES)
    rows = days(report, Traffic(1_000, 0.25))
    for row, one in zip(rows, report.thresholds, strict=True):
        assert row.alarms == pytest.approx(750 * one["fpir_index"])
        assert row.misses_between == tuple(250 * end for end in one["intervals"]["fnir_index"])
        assert row.alarms_between[0] <= row.alarms <= row.alarms_between[1]
    with pytest.raises(ValueError, match=r"mated share of 0 to 1, got 10 and 1.5"):
        Traffic(10, 1.5)


def test_a_wish_is_granted_by_the_bound_or_told_what_it_takes() -> None:
    report, traffic = report_of(IMPOSTORS, MATES), Traffic(2_000, 0.5)
    granted = wish(report, traffic, alarms=30)  # 3 in 100
    assert granted.fpir == 0.03
    assert granted.threshold is not None
    assert granted.bound <= 0.03
    assert (granted.threshold <= IMPOSTORS).mean() == 0.02, "the next lower point of the curve, 0.05, is too much"
    assert granted.fnir_index == (granted.threshold > MATES).mean()
    refused = wish(report, traffic, alarms=0.1)  # 1 in 10,000
    assert refused.threshold is None
    assert refused.non_mates_needed == 29_956
    assert refused.bound > 0.0001
    with pytest.raises(ValueError, match="alarms: expected above 0"):
        wish(report, Traffic(100, 1.0), alarms=5)


def test_wishes_hold_for_strangers_that_nobody_measured() -> None:
    """Of lists measured with few non-mates, the promised rate is kept in at least 95 of 100."""
    kept = []
    for seed in range(200):
        sample = np.random.default_rng(seed).normal(0.35, 0.05, 300)
        granted = wish(report_of(sample, MATES[:100]), Traffic(1_000, 0.0), alarms=50)
        assert granted.threshold is not None
        above = 0.5 * math.erfc((granted.threshold - 0.35) / 0.05 / math.sqrt(2))
        kept.append(above <= 0.05)
    assert np.mean(kept) >= 0.95


def test_non_mates_that_a_rate_takes() -> None:
    rows = non_mates_needed(report_of(IMPOSTORS, MATES), [0.01, 0.001, 0.0003])
    assert [(one.to_see, one.to_bound, one.to_measure) for one in rows] == [
        (100, 299, 3_000), (1_000, 2_995, 30_000), (3_334, 9_985, 100_000),
    ]  # fmt: skip
    assert [one.enough_for for one in rows] == ["measuring it", "bounding it", "seeing it"]


def test_rates_between_points_are_those_of_the_stricter() -> None:
    report = report_of(IMPOSTORS, MATES)
    low, high = report.det.thresholds[3:5]
    assert rates_at(report, float(low)).fpir == report.det.fpir_index[3]
    assert rates_at(report, float(low + high) / 2).fpir == report.det.fpir_index[4]
    assert rates_at(report, 0.999).fpir == report.det.fpir_index[-1]


def trial(manifest: Manifest, group_by: str = "") -> Report:
    return replace(report_of(IMPOSTORS, MATES), manifest=manifest, group_by=group_by)


@pytest.mark.parametrize("recipe", ["exact", "scan"])
def test_a_rehearsal_is_what_comparing_all_rows_gives(tmp_path: Path, recipe: str) -> None:
    rows = unit_rows(3, 300)
    rows[1] = rows[0]  # two names for one face
    people = [f"p{number // 2}" if number < 200 else "" for number in range(300)]
    people[0], people[1] = "left", "right"
    store = bucket(tmp_path / "bucket")
    index = publish_index(store, "faces", "i", rows, people=people, recipe=recipe)
    wide = rows.astype(np.float32)
    similarities = wide @ wide.T
    names = np.array([name or f"alone {number}" for number, name in enumerate(people)])
    same = names[:, None] == names[None, :]
    nearest = np.where(same, -1, similarities).max(axis=1)
    threshold = float(np.median(nearest))
    tried = rehearse(store, trial(index.manifest), threshold, searches=1_000)
    assert (tried.searches, tried.mated) == (300, 198)
    assert abs(tried.alarms - int((nearest >= threshold).sum())) <= 1, "float16 rows, normalised once more"
    order = np.argsort(-np.where(np.eye(300, dtype=bool), -2, similarities), axis=1)[:, :10]
    accepted = np.take_along_axis(same & (similarities >= threshold), order, axis=1).any(axis=1)
    assert abs(tried.missed - int(((same.sum(axis=1) > 1) & ~accepted).sum())) <= 1
    assert tried.fpir_between[0] < tried.fpir < tried.fpir_between[1]
    assert {tried.pairs[0].row, tried.pairs[0].other} == {"i-0", "i-1"}
    assert tried.pairs[0].similarity == pytest.approx(1, abs=2e-3)
    assert len({frozenset((one.row, one.other)) for one in tried.pairs}) == len(tried.pairs) == 10
    several = replace(index.manifest, shards=index.manifest.shards * 2)
    with pytest.raises(ArtifactError, match="expected one shard, got 2"):
        rehearse(store, trial(several), threshold)


def test_people_take_one_place_each_where_candidates_are_people(tmp_path: Path) -> None:
    """Twelve rows of a look-alike stand before the mate: eleventh as a row, second as a person."""
    crowd = np.zeros((14, 64), np.float32)
    crowd[:, 0], crowd[0, 1], crowd[13, 2], crowd[1:13, 3] = 1, 0.1, 1.0, 0.5
    crowd[1:13, 4:16] += np.eye(12) * 0.01
    rows = (crowd / np.linalg.norm(crowd, axis=1, keepdims=True)).astype(np.float16)
    store = bucket(tmp_path / "bucket")
    people = ["sought", *["crowd"] * 12, "sought"]
    manifest = publish_index(store, "faces", "i", rows, people=people).manifest
    missed = {kind: rehearse(store, trial(manifest, kind), 0.5).missed for kind in ("", "person")}
    assert missed == {"": 1, "person": 0}, "the second sought one is nearer to the first than the crowd is"


def test_rows_without_people_are_people_of_their_own(tmp_path: Path) -> None:
    store = bucket(tmp_path / "bucket")
    manifest = publish_index(store, "faces", "i", unit_rows(4, 50)).manifest
    tried = rehearse(store, trial(manifest), -1.0)
    assert (tried.alarms, tried.mated, tried.missed) == (50, 0, 0)
