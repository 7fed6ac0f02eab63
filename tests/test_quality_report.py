"""The report: whole, self-contained, escaped; and its JSON."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipeline.plan
from configs.settings import Build, Quality, Settings, Storage
from pipeline.artifact import open_store, read_manifest
from pipeline.build import Order, build
from pipeline.generate.faces import Generator
from pipeline.progress import Lines
from pipeline.stage import serial

VOID = {"meta", "br", "link", "img", "hr", "input"}
LABEL = "list <b>&</b>"


class Page(HTMLParser):
    """Checks nesting, and collects headings, table rows, scripts and whatever points elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.headings: list[str] = []
        self.elsewhere: list[str] = []
        self.scripts = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elsewhere += [str(value) for name, value in attrs if name in ("src", "href")]
        self.scripts += tag == "script"
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("h1", "h2", "h3"):
            self.headings.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings[-1] += data


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The page, the JSON and the manifest's quality of a list with three candidates' points and a rejected row."""
    folder = tmp_path_factory.mktemp("report")
    rows = Generator("tree", 3).chunk(0, 6_000)[0]
    rows[7] = np.nan
    names = [f"face-{number}" for number in range(6_000)]
    names[7] = "<script>alert(7)</script>"
    np.savez(folder / "rows.npz", descriptors=rows, id=np.array(names))
    settings = Settings(
        storage=Storage(bucket=str(folder / "bucket")),
        build=Build(partition_rows=1_500, sample_rows=4_000),
        quality=Quality(mated_probes=1_500, non_mates=500, added_fnir=0.003),
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pipeline.plan, "EXACT_ONLY_BELOW", 1_000)  # so that there is something to choose from
        patched.setattr(pipeline.plan, "CELLS_FROM", 1_000)
        manifest = build(Order(str(folder / "rows.npz"), LABEL), settings, lambda: serial, Lines()).manifest
    store = open_store(str(folder / "bucket"))
    home = next(key for key in store.keys("indexes/") if key.endswith("report.html")).removesuffix("report.html")
    page, data = store.read(home + "report.html").decode(), json.loads(store.read(home + "report.json"))
    return page, data, read_manifest(store, LABEL, manifest.index_id).quality


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(report: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    page = Page(report[0])
    assert page.open == []
    assert page.elsewhere == []
    assert page.scripts >= 2  # bokeh, and what it draws
    assert "@import" not in report[0].split("</style>")[0]
    assert len(report[0]) < 4_000_000
    assert 'name="viewport"' in report[0]
    assert "prefers-color-scheme: dark" in report[0]


def test_names_from_outside_are_escaped(report: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    assert Page(report[0]).headings[0] == LABEL
    assert "<script>alert" not in report[0]
    assert "&lt;script&gt;alert(7)" in report[0]


def test_the_page_says_what_the_manifest_says(report: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    text, _, quality = report
    assert re.search(r'<p class="verdict good">Target met by \w+ \(?', text)
    rows = {row[0]: row[1] for row in Page(text).rows if len(row) == 2}
    assert rows["threshold of similarity"] == f"{quality['threshold']:.4f}"
    assert rows["rank-1 miss"].startswith(f"{quality['rank1_miss']:.4f}")
    assert next(value for name, value in rows.items() if name.startswith("added FNIR")).startswith("0.0")
    assert f"Mated probes: {quality['probes_from'][:30]}" in text
    for picture in ("Missed mates", "Similarities of mates", "Loss and cost", "Recall and throughput"):
        assert any(picture in heading for heading in Page(text).headings), picture


def test_every_point_is_listed_with_its_reason(report: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    text, data, _ = report
    decided = data["decision"]
    assert {one["name"] for one in decided["curve"]} == {"exact", "scan", "cells"}
    chosen = [one for one in decided["curve"] if not one["rejected"]]
    assert [(one["name"], one["nprobe"], one["rerank"]) for one in chosen] == [
        (decided["name"], decided["point"]["nprobe"], decided["point"]["rerank"])
    ]
    reasons = [row[0] for row in Page(text).rows if len(row) == 1]
    assert sorted(reasons) == sorted(one["rejected"] or "chosen" for one in decided["curve"])
    for one in decided["curve"]:
        assert one["batch_us"] > 0
        assert [speed["batch"] for speed in one["speeds"]] == [1, 8, 64, 256]
        assert all(speed["p99_ms"] >= speed["p50_ms"] > 0 and speed["calls"] >= 3 for speed in one["speeds"])
        assert all(speed["qps"] == pytest.approx(1e3 * speed["batch"] / speed["p50_ms"]) for speed in one["speeds"])


def test_json_holds_every_figure(report: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    _, data, quality = report
    assert data["decision"]["quality"] == quality
    assert set(data["decision"]["intervals"]) == {
        "added_fnir", "exact_fnir", "rank1_miss", "exact_rank1_miss", "recall_at_1", "recall_at_10", "index_fpir",
    }  # fmt: skip
    for name, (low, high) in data["decision"]["intervals"].items():
        assert low <= quality[name] <= high, name
    told = {one["fpir"]: one for one in data["thresholds"]}
    assert list(told) == [0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001]
    assert [one["resolvable"] for one in told.values()] == [True] * 5 + [False] * 2  # of 1,000 non-mates
    thresholds = [one["threshold"] for one in told.values() if one["resolvable"]]
    assert thresholds == sorted(thresholds)
    assert told[0.003]["threshold"] == quality["threshold"]
    assert told[0.003]["fnir_exact"] == pytest.approx(quality["exact_fnir"])
    assert told[0.003]["added_fnir"] == pytest.approx(quality["added_fnir"])
    assert told[0.003]["fpir_index"] == pytest.approx(quality["index_fpir"])
    assert told[0.003]["intervals"]["fnir_exact"] == pytest.approx(data["decision"]["intervals"]["exact_fnir"])
    assert sum(data["histograms"]["impostors"]) == quality["non_mates"]
    assert sum(data["histograms"]["mates"]) + data["histograms"]["mates_missing"] == quality["probes"]
    assert data["stages"]["truth"]["items"] == 4
    assert data["stages"]["truth"]["rows"] == 5_999
    assert data["rejected"] == 1
    assert data["rows"] == 5_999


def test_page_and_json_say_how_evenly_cells_are_filled(report: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    text, data, _ = report
    (name, cells), *others = data["cells"].items()
    assert not others
    assert (name, cells["cells"], cells["rows"]) == ("cells-128", 128, 5_999)
    assert cells["smallest"] <= 5_999 / 128 <= cells["largest"]
    assert cells["imbalance"] >= 1
    told = [
        name,
        "128",
        str(cells["smallest"]),
        str(cells["largest"]),
        str(cells["empty"]),
        f"{cells['imbalance']:.2f}",
    ]
    assert told in Page(text).rows


def test_no_secret_is_told(report: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    storage = report[1]["spec"]["storage"]
    assert storage["access_key"] == storage["secret_key"] == ""


def test_the_page_is_in_the_package() -> None:
    assert (Path(__file__).parent.parent / "pipeline" / "quality" / "report.html.j2").is_file()
