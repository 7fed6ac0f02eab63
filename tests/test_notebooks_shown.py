"""What notebooks show: pictures without a browser, tables, plans of capacity."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from reports import report_of, timed

from pipeline.artifact import Point
from pipeline.notebooks.building import stage_times, wall_seconds
from pipeline.notebooks.capacity import BUSY, HEADROOM, Machine, Need, operating_point, options, pace_of
from pipeline.notebooks.picture import HEIGHT, WIDTH, drawn
from pipeline.notebooks.scales import Scale, named
from pipeline.notebooks.show_capacity import growth, option_table
from pipeline.notebooks.show_quality import comparison, points
from pipeline.notebooks.table import Table, between, count, nbytes, seconds, share
from pipeline.plan import propose
from pipeline.quality.canvas import empty, tidied
from pipeline.quality.reading import Report
from pipeline.recipes.candidate import Facts
from pipeline.recipes.known import cost

NEED = Need(2_000_000, 512, 0.001, 500, Machine(16, 4), workers=8)


@pytest.fixture
def measured() -> Report:
    random = np.random.default_rng(5)
    report = report_of(random.normal(0.35, 0.05, 4_000), random.normal(0.7, 0.1, 3_000), rows=200_000)
    curve = [
        timed("scan", 1, 80, cost_us=100, qps=5_000, bound=0.002),
        timed("scan", 1, 160, cost_us=125, qps=4_000, bound=0.0009),
        timed("cells", 64, 80, cost_us=50, qps=10_000, bound=0.05),
        timed("cells", 256, 80, cost_us=80, qps=6_250, bound=0.0008),
        timed("cells", 1024, 160, cost_us=300, qps=1_000, bound=0.0007),
    ]
    report.data["decision"]["curve"] = curve
    report.data["stages"] = {
        "encode": {"task_seconds": 4.0, "items": 8, "rows": 200_000},
        "train": {"task_seconds": 3.0, "items": 2, "rows": 65_536},
        "census": {"task_seconds": 0.5, "items": 1, "rows": 200_000},
    }
    return replace(report, curve=curve)


def test_a_plan_takes_the_cheapest_point_that_met_the_target(measured: Report) -> None:
    facts = Facts(rows=2_000_000, dim=512, out=160, recipe="auto", rerank="int8", device="cpu", memory_limit=0)
    planned = {one.name: one for one in propose(facts)}
    exact, scan, cells = (planned[name] for name in ("exact", "scan", "cells"))
    assert operating_point(NEED, measured, exact)[0] == Point(0, 0)
    assert operating_point(NEED, measured, scan) == (Point(1, 160), "bound 0.0009 measured at 200,000 rows")
    nlist = cells.parameters["nlist"]
    assert operating_point(NEED, measured, cells)[0] == Point(nlist // 4, 80), "256 of 1,024 cells are a quarter"
    strict = replace(NEED, target=0.0001)
    point, basis = operating_point(strict, measured, scan)
    assert point == max(scan.points, key=lambda one: cost(scan, one))
    assert basis.startswith("target not proven at 200,000 rows")
    without = replace(measured, curve=[one for one in measured.curve if one["name"] == "scan"])
    assert operating_point(NEED, without, cells)[1].startswith("target not measured")


def test_what_was_published_without_proof_is_the_chosen_point(measured: Report) -> None:
    """Of a list with few probes every point is rejected, and the best published all the same."""
    shares = {"recall_at_10": 1.0, "added_fnir": 0.0, "rejected": "choosing half: too few probes"}
    curve = [one | shares for one in measured.curve if one["name"] == "scan"]
    found = replace(measured, curve=curve, manifest=replace(measured.manifest, recipe="scan", point=Point(1, 160)))
    assert points(found).column("") == ["choosing half", "chosen"]
    assert comparison(found, found).rows[-1] == ("predicted µs a request", "125", "", "125", "", "0", "", "the same")


def test_time_is_scaled_by_what_was_measured(measured: Report) -> None:
    assert pace_of(measured, "scan")[0] == pytest.approx(2.0), "200 µs of 100, 250 of 125"
    assert pace_of(measured, "scan-lean") == (pytest.approx(2.0), "time predicted, scaled by 2.00 as its like was")
    assert pace_of(measured, "exact")[0] == pytest.approx(2.0), "the median of all"
    measured.data["spec"]["build"]["threads_per_task"] = 2
    assert pace_of(measured, "scan")[0] == pytest.approx(4.0), "two threads took that long"
    assert pace_of(replace(measured, curve=[]), "scan") == (1.0, "time predicted")


def test_machines_follow_memory_and_load(measured: Report) -> None:
    found = {one.name: one for one in options(NEED, measured)}
    exact, scan = found["exact"], found["scan"]
    assert exact.memory.anonymous == 2_000_000 * 512 * 4
    assert exact.shards == 1
    small = {one.name: one for one in options(replace(NEED, machine=Machine(4, 4)), measured)}["exact"]
    assert small.shards == math.ceil(exact.memory.anonymous / (4e9 * HEADROOM / 2)) == 3
    assert small.matchers % 3 == 0
    assert scan.matchers == math.ceil(500 * scan.request_us / (4 * BUSY * 1e6)) + 1
    assert scan.per_core == pytest.approx(1e6 / scan.request_us)
    busier = {one.name: one for one in options(replace(NEED, requests_per_s=5_000), measured)}["exact"]
    assert busier.matchers - 1 == pytest.approx(10 * (exact.matchers - 1), abs=10)
    cheapest = options(NEED, measured)[0]
    assert cheapest.matchers == min(one.matchers for one in found.values())
    assert option_table(options(NEED, measured)).column("recipe")[0] == cheapest.name


def test_another_descriptor_s_projection_is_not_assumed(measured: Report) -> None:
    same, other = (options(replace(NEED, dim=dim), measured) for dim in (512, 256))
    scans = [next(one for one in some if one.name == "scan") for some in (same, other)]
    assert scans[0].memory.anonymous < 2_000_000 * (40 + 8) * 1.1, "160 dimensions, 40 bytes a code, 8 of numbers"
    assert scans[1].memory.anonymous > 2_000_000 * (64 + 8), "all 256"


@pytest.mark.parametrize("name", ["rows", "dim", "target", "requests_per_s", "workers"])
def test_needs_that_cannot_be_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected more than 0, got 0"):
        replace(NEED, **{name: 0})
    with pytest.raises(ValueError, match="its cores: expected more than 0"):
        replace(NEED, machine=Machine(4, 0))


def test_a_build_grows_where_its_stages_do(measured: Report) -> None:
    times = {one.stage: one for one in stage_times(NEED, measured)}
    assert times["encode"].planned_s == 40
    assert times["encode"].wall_s == 5, "eight workers, eighty partitions"
    assert (times["train"].planned_s, times["train"].wall_s) == (3, 1.5), "a sample, and two models"
    assert times["census"].wall_s == 5, "one item, whoever waits"
    assert wall_seconds(list(times.values())) == 11.5
    short = {one.stage: one for one in stage_times(replace(NEED, rows=30_000), measured)}
    assert short["encode"].at_once == 2, "no more than there are partitions"


def elements(svg: str, name: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(svg).findall(f".//{{http://www.w3.org/2000/svg}}{name}")  # noqa: S314 - ours


def test_a_picture_has_what_the_figure_has() -> None:
    plot = empty("across <1>", "up", x_axis_type="log")
    plot.line([0.001, 0.01, 0.1, 0.0], [1.0, 2.0, 3.0, 4.0], color="#3b82f6", legend_label="a & b")
    plot.scatter([0.01, 0.02], [1.5, 2.5], color="#ef4444", size=[10, 0])
    plot.quad(top=[2.0], bottom=1.0, left=[0.001], right=[0.01], color="#059669", alpha=0.5, legend_label="bars")
    picture = drawn(tidied(plot), "A <title>")
    texts = [one.text for one in elements(picture.svg, "text")]
    assert {"A <title>", "across <1>", "up", "a & b", "bars", "0.001", "0.01", "0.1"} <= set(texts)
    line = next(one for one in elements(picture.svg, "path") if one.get("stroke") == "#3b82f6")
    places = [tuple(map(float, pair)) for pair in re.findall(r"[ML]([\d.]+) ([\d.]+)", line.get("d") or "")]
    assert len(places) == 3, "0 has no place on a logarithmic axis"
    assert places[1][0] - places[0][0] == pytest.approx(places[2][0] - places[1][0], abs=0.2), "decades are alike"
    assert places[0][1] > places[1][1] > places[2][1], "upwards"
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in places)
    assert len(elements(picture.svg, "circle")) == 1, "a point of size 0 is none"
    bar = next(one for one in elements(picture.svg, "rect") if one.get("fill-opacity") == "0.5")
    assert float(bar.get("x") or 0) == pytest.approx(places[0][0], abs=0.1)
    assert not re.search("<(script|style|foreignObject)", picture.svg)
    painted = np.asarray(Image.open(io.BytesIO(picture._repr_png_()[0])).convert("RGB")).astype(int)
    assert painted.shape == (2 * HEIGHT, 2 * WIDTH, 3)
    assert np.abs(painted[2, 2] - 255).max() <= 2, "white paper"
    for x, y in places:
        near = painted[round(2 * y) - 2 : round(2 * y) + 3, round(2 * x) - 2 : round(2 * x) + 3]
        assert np.abs(near - (0x3B, 0x82, 0xF6)).max(axis=2).min() < 60, "the line, painted where it is"
    point = elements(picture.svg, "circle")[0]
    x, y = (2 * float(point.get(name) or 0) for name in ("cx", "cy"))
    assert np.abs(painted[round(y), round(x)] - (0xEF, 0x44, 0x44)).max() < 30


def test_a_glyph_that_is_not_drawn_is_named() -> None:
    plot = empty("x", "y")
    plot.text([1], [1], text=["no"])
    with pytest.raises(TypeError, match="expected Line, Scatter or Quad, got Text"):
        drawn(plot, "text")


def test_growth_crosses_what_a_machine_has(measured: Report) -> None:
    picture = growth(NEED, measured)
    assert {"exact", "scan", "cells"} <= {one.text for one in elements(picture.svg, "text")}
    dashed = [one for one in elements(picture.svg, "path") if one.get("stroke-dasharray") == "5 4"]
    assert len(dashed) == 2


@pytest.mark.parametrize(
    ("values", "is_log", "ticks"),
    [
        ([0, 10], False, [0, 2, 4, 6, 8, 10]),
        ([0.9995, 1.0], False, [0.9995, 0.9996, 0.9997, 0.9998, 0.9999, 1.0]),
        ([0.001, 1.0], True, [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]),
        ([1e-6, 1.0], True, [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1]),
        ([0.0015, 0.003], True, [0.001, 0.002, 0.005]),
        ([], True, [0.1, 0.2, 0.5, 1.0]),
        ([5, 5], False, [4.8, 4.9, 5.0, 5.1, 5.2]),
    ],
)
def test_ticks_are_round(values: list[float], is_log: bool, ticks: list[float]) -> None:
    scale = Scale.over(values, is_log=is_log)
    assert scale.ticks() == pytest.approx(ticks)
    assert all(0 <= scale.at(one) <= 1 for one in ticks)


def test_figures_are_short() -> None:
    assert [named(one) for one in (0, 0.003, 1e-5, 250, 5_000, 12_000, 3e6)] == [
        "0",
        "0.003",
        "1e-5",
        "250",
        "5000",
        "12k",
        "3M",
    ]
    assert [share(one) for one in (0, 0.003214, 0.00001234, 0.9999, 1)] == ["0", "0.00321", "1.2e-05", "1", "1"]
    assert between((0.1, 0.25)) == "0.1 – 0.25"
    assert [count(one) for one in (0, 0.052, 3.14, 12_345)] == ["0", "0.052", "3.1", "12,345"]
    assert [nbytes(one) for one in (12, 3_200_000_000, 540_000_000)] == ["12 B", "3.2 GB", "540 MB"]
    assert [seconds(one) for one in (0.83, 42, 720, 12_240)] == ["0.83 s", "42 s", "12 min", "3.4 h"]


def test_a_table_is_html_and_text() -> None:
    table = Table(("name", "n"), (("<b>", "1"), ("longer", "22")), ("a note",))
    assert repr(table).splitlines() == ["name     n", "------  --", "<b>      1", "longer  22", "a note"]
    assert "&lt;b&gt;" in table._repr_html_()
    assert "<b>" not in table._repr_html_()
    assert table.column("n") == ["1", "22"]
    with pytest.raises(ValueError, match="row 'x': expected 2 cells, got 1"):
        Table(("name", "n"), (("x",),))
