"""The model behind `lim plan`: pure, so every case is a line of numbers."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.settings import Build, Quality
from pipeline.errors import PlanImpossible
from pipeline.planning.cluster import Cluster, bytes_of
from pipeline.planning.demand import Demand, Step
from pipeline.planning.forecast import EVALUATION, Forecast, forecast, in_smaller_shards
from pipeline.planning.probing import PROBES
from pipeline.planning.rates import Rates, RatesUnreadable, read_rates
from pipeline.planning.stages import demands
from pipeline.planning.subject import Subject
from pipeline.planning.times import seconds
from pipeline.planning.very_many import very_many
from pipeline.stages import BUILD

CLUSTER = Cluster(workers=2, threads=1, memory_limit=0, cores=2)
RATES = Rates()
SIZES = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)


def subject(rows: int = 1_000_000, **build: object) -> Subject:
    return Subject(rows=rows, dim=512, build=replace(Build(), **build), quality=Quality())  # type: ignore[arg-type]


def planned(rows: int = 1_000_000, cluster: Cluster = CLUSTER, **build: object) -> Forecast:
    return forecast(subject(rows, **build), cluster, RATES)


def test_the_stages_are_those_of_a_build() -> None:
    assert [one.stage for one in demands(subject())] == [stage.name for stage in BUILD]


@pytest.mark.parametrize("recipe", ["auto", "exact", "scan", "cells", "ivfpq"])
def test_more_rows_take_more_of_everything(recipe: str) -> None:
    plans = [planned(rows, recipe=recipe) for rows in (100_000, 400_000, *SIZES)]
    for less, more in pairwise(plans):
        for name in ("seconds", "making_s", "read", "written", "partitions", "peak", "index_bytes"):
            assert getattr(less, name) <= getattr(more, name), (name, less.rows)
        assert less.seconds < more.seconds


def test_a_billion_rows_have_their_cells_shards_and_sample() -> None:
    plan = planned(1_000_000_000)
    assert (plan.recipe, plan.cells, plan.code_bytes, plan.partitions) == ("cells", 65_536, 40, 40_000)
    assert plan.shards == 6  # of 48 bytes a row, in shards of 8 GiB
    assert plan.sample == 40 * 65_536
    assert not plan.notes
    told = planned(1_000_000_000, sample_rows=65_536).notes
    assert any("build.sample_rows to 2,621,440" in note for note in told)
    assert plan.index_bytes / plan.shards <= Build().shard_bytes


def test_a_list_of_the_default_sample_needs_no_note() -> None:
    assert planned(400_000).notes == ()
    assert planned(400_000).sample == 65_536


def test_twice_the_workers_take_less_time_and_the_same_work() -> None:
    two, four = planned(), planned(cluster=replace(CLUSTER, workers=4, cores=4))
    assert 0.45 < four.seconds / two.seconds < 0.8
    assert (four.read, four.peak) == (two.read, two.peak)


def test_more_workers_than_cores_gain_nothing() -> None:
    assert planned(cluster=replace(CLUSTER, workers=4)).seconds == pytest.approx(planned().seconds)


def test_tasks_in_one_worker_add_up() -> None:
    one, two = planned(), planned(cluster=replace(CLUSTER, workers=1, threads=2))
    encode = {plan.stages[6].stage: None for plan in (one, two)}
    assert list(encode) == ["encode"]
    first, second = (plan.stages[6].peak - int(RATES.process) for plan in (one, two))
    assert second == 2 * first


def test_items_are_dealt_in_rounds() -> None:
    step = Step(items=5, requests=0, work={"fixed": 1.0})
    took = seconds(Demand("x", (step,)), CLUSTER, RATES)
    assert took == pytest.approx(RATES.stage_s + 3 * 1.0 + 5 * RATES.item_s)


def test_steps_beside_each_other_share_the_slots() -> None:
    long, short = (
        Step(items=1, requests=0, work={"fixed": 9.0}),
        Step(items=4, requests=0, work={"fixed": 1.0}, beside=True),
    )
    base, per_item = RATES.stage_s, 5 * RATES.item_s
    assert seconds(Demand("x", (long, short)), CLUSTER, RATES) == pytest.approx(base + 9.0 + per_item)
    assert seconds(Demand("x", (short, replace(long, beside=True))), replace(CLUSTER, cores=1), RATES) == pytest.approx(
        base + 13.0 + per_item
    )
    assert seconds(Demand("x", (long, replace(short, beside=False))), CLUSTER, RATES) == pytest.approx(
        base + 9.0 + 2.0 + per_item
    )


def test_steps_done_ten_times_take_ten_times_as_long() -> None:
    once, often = Step(items=4, read=10**9), Step(items=4, read=10**9, times=10)
    demand = Demand("x", (often,))
    assert (demand.items, demand.read) == (40, 40 * 10**9)
    assert seconds(demand, CLUSTER, RATES) - RATES.stage_s == pytest.approx(
        10 * (seconds(Demand("x", (once,)), CLUSTER, RATES) - RATES.stage_s)
    )


def test_a_task_above_the_limit_is_refused_with_both_numbers_and_a_way_out() -> None:
    with pytest.raises(PlanImpossible) as refused:
        planned(100_000_000, cluster=replace(CLUSTER, memory_limit=2 << 30))
    said = str(refused.value)
    assert said.startswith("assemble: a worker of 1 task at a time needs ")
    assert "allowed are 2,147,483,648" in said
    assert "lower build.shard_bytes" in said
    assert planned(100_000_000, cluster=replace(CLUSTER, memory_limit=2 << 30), shard_bytes=1 << 28).peak <= 2 << 30


def test_smaller_shards_are_found_and_named() -> None:
    limited = replace(CLUSTER, memory_limit=4 << 30)
    plan = in_smaller_shards(subject(1_000_000_000), limited, RATES)
    assert plan.peak <= 4 << 30
    assert plan.shards > planned(1_000_000_000).shards
    assert "set build.shard_bytes to " in plan.notes[0]
    assert "allowed are 4,294,967,296" in plan.notes[0]


def test_what_no_shard_size_helps_stays_refused() -> None:
    with pytest.raises(PlanImpossible, match="allowed are 209,715,200"):
        in_smaller_shards(subject(), replace(CLUSTER, memory_limit=200 << 20), RATES)


def test_a_shard_smaller_than_a_partition_is_refused_by_the_builds_own_plan() -> None:
    with pytest.raises(PlanImpossible, match=r"build\.shard_bytes: .* takes at least [\d,]+ bytes .*allowed are 1,000"):
        planned(shard_bytes=1_000)


def test_the_target_decides_how_many_probes_there_are() -> None:
    usual, strict = subject(), replace(subject(), quality=replace(Quality(), added_fnir=0.0001))
    assert usual.mates == 20_000
    assert strict.mates == 2 * 29_956  # ln .05 / ln .9999
    assert forecast(strict, CLUSTER, RATES).seconds > forecast(usual, CLUSTER, RATES).seconds


def test_four_million_rows_fit_into_two_workers_of_512_mib() -> None:
    """What the drill of bounded memory builds: shards of 96 MiB, a partition or a shard at a time."""
    plan = planned(4_200_000, cluster=replace(CLUSTER, memory_limit=512 << 20), shard_bytes=96 << 20, recipe="cells")
    assert plan.shards == 3
    assert plan.peak <= 512 << 20


def test_names_of_people_take_memory_in_census_and_evaluation() -> None:
    without, named = subject(100_000_000), replace(subject(100_000_000), people=True)
    peaks = [{one.stage: one.peak for one in demands(it)} for it in (without, named)]
    for stage in ("census", "probes", "evaluate"):
        assert peaks[1][stage] > peaks[0][stage] + 100_000_000 * 4


def test_very_many_cells() -> None:
    found = very_many(subject(), CLUSTER, RATES)
    assert (found["cells"], found["sample_rows"]) == (262_144, 40 * 262_144)
    assert found["centroid_bytes"] == 262_144 * 160 * 4
    assert found["seconds"] > very_many(subject(), CLUSTER, RATES, 65_536)["seconds"] > 0
    assert found["peak"] < found["sample_bytes"]  # no task holds the sample


def test_a_slower_machine_takes_longer() -> None:
    slow = replace(RATES, **{name: value / 2 for name, value in RATES.kinds.items()})
    fast, late = (forecast(subject(), CLUSTER, rates).seconds for rates in (RATES, slow))
    assert 1.8 < late / fast <= 2.0


def test_totals_are_in_the_json() -> None:
    plan = planned()
    found = json.loads(json.dumps(plan.to_json()))
    assert found["seconds"] == pytest.approx(sum(one["seconds"] for one in found["stages"]))
    assert found["making_s"] == pytest.approx(
        sum(one["seconds"] for one in found["stages"] if one["stage"] not in EVALUATION)
    )


def test_every_speed_is_measured_or_follows() -> None:
    assert set(RATES.kinds) == (set(PROBES) - {"requests"}) | {"scanned", "fixed"}


def test_speeds_survive_their_file(tmp_path: Path) -> None:
    file = tmp_path / "rates.json"
    assert read_rates(file) == Rates()
    measured = replace(RATES, read=1.0, item_s=0.5)
    file.write_text(measured.to_json())
    assert read_rates(file) == measured


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1, "rates": {"read": 1}}', "zero"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rates.json"
    zero = json.dumps({"format": 1, "rates": {field.name: 0 for field in fields(Rates)}})
    file.write_text(zero if text == "zero" else text)
    with pytest.raises(RatesUnreadable, match=r"rates\.json: expected .*lim plan --calibrate"):
        read_rates(file)


@pytest.mark.parametrize(
    ("text", "found"),
    [("auto", 500), ("0.5", 500), ("1", 1000), ("0", 0), ("512MiB", 512 << 20), ("4GB", 4 * 10**9), ("1.5 KiB", 1536), ("700", 700)],
)  # fmt: skip
def test_memory_limits_as_dask_writes_them(text: str, found: int) -> None:
    assert bytes_of(text, 2, 1000) == found


@pytest.mark.parametrize("text", ["much", "4 bottles", "-1", ""])
def test_other_limits_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="memory limit: expected auto, 4GiB"):
        bytes_of(text, 2, 1000)
