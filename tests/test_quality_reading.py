"""Reading a report back from the bucket: what is there, what is too old, too new or broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from published import bucket, publish_index, unit_rows

from configs.settings import Build, Quality, Settings, Storage
from pipeline.artifact import ArtifactCorrupt, ArtifactError, ArtifactMissing, FormatTooNew, Store, open_store
from pipeline.build import Order, build
from pipeline.generate.faces import Generator
from pipeline.progress import Lines
from pipeline.quality.reading import REPORT, read_report
from pipeline.stage import serial


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A bucket with two builds of the label `faces`: 2,000 people, then the same with a second photo of 400."""
    folder = tmp_path_factory.mktemp("reading")
    faces = Generator("mixture", 3)
    rows, _, people = faces.chunk(0, 2_000)
    second = faces.probes(np.arange(400))[0]
    sources = {"one": (rows, people), "two": (np.concatenate([rows, second]), [*people, *people[:400]])}
    settings = Settings(
        storage=Storage(bucket=str(folder / "bucket")),
        build=Build(partition_rows=1_500, sample_rows=2_000),
        quality=Quality(mated_probes=500, non_mates=400, added_fnir=0.01),
    )
    for name, (descriptors, names) in sources.items():
        np.savez(folder / f"{name}.npz", descriptors=descriptors, person=np.array(names))
        build(Order(str(folder / f"{name}.npz"), "faces"), settings, lambda: serial, Lines())
    return open_store(str(folder / "bucket"))


def test_what_the_head_serves_is_read(store: Store) -> None:
    report = read_report(store, "faces")
    assert report.manifest.count == 2_400
    assert report.probes["mated"].startswith("labelled rows of the list itself")
    quality = report.manifest.quality
    assert report.curve == list(report.manifest.points)
    assert [one["rejected"] for one in report.curve].count("") == 1
    det = report.det
    assert det.thresholds.dtype == np.float64
    assert {len(det.fpir), len(det.fpir_index), len(det.fnir_exact), len(det.fnir_index)} == {len(det.thresholds)}
    at = det.thresholds.tolist().index(quality["threshold"])
    assert det.fnir_exact[at] == pytest.approx(quality["exact_fnir"])
    table = {one["fpir"]: one for one in report.thresholds}
    assert table[0.003]["threshold"] == quality["threshold"]
    histograms = report.histograms
    assert len(histograms.edges) == len(histograms.mates) + 1 == len(histograms.impostors) + 1
    assert histograms.mates.sum() + histograms.mates_missing == quality["probes"]
    assert {one["cohort"] for one in report.cohorts if one["by"] == "templates of the person"} == {"1"}


def test_an_earlier_index_is_read_by_its_id(store: Store) -> None:
    serving = read_report(store, "faces").manifest
    ids = {key.split("/")[2] for key in store.keys("indexes/faces/")}
    earlier = read_report(store, "faces", (ids - {serving.index_id}).pop())
    assert earlier.manifest.count == 2_000
    assert earlier.probes["mated"].startswith("pseudo-mates (a model, not photos)")


def test_unknown_names_are_missing(store: Store) -> None:
    with pytest.raises(ArtifactMissing, match="label 'nobody': nothing is published"):
        read_report(store, "nobody")
    with pytest.raises(ArtifactMissing, match=r"indexes/faces/none/meta.json"):
        read_report(store, "faces", "none")


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"report": 1}, ArtifactError, f"expected report {REPORT}, got 1.*build the index again"),
        ({"report": REPORT + 1}, FormatTooNew, f"expected report {REPORT} or older, got {REPORT + 1}"),
        ({"report": "new"}, ArtifactCorrupt, "expected the number of the report's version, got 'new'"),
        ({"det": None}, ArtifactCorrupt, f"expected a report of version {REPORT}"),
        ({"histograms": {"edges": []}}, ArtifactCorrupt, "one without 'mates'"),
        (None, ArtifactCorrupt, "expected an object, got list"),
    ],
)
def test_what_is_not_such_a_report_says_so(
    store: Store, tmp_path: Path, change: dict[str, Any] | None, error: type[ArtifactError], said: str
) -> None:
    good = read_report(store, "faces").data
    other = bucket(tmp_path / "bucket")
    publish_index(other, "faces", "i", unit_rows(1))
    data = [] if change is None else good | change
    other.write("indexes/faces/i/report.json", json.dumps(data).encode())
    with pytest.raises(error, match=rf"indexes/faces/i/report.json: .*{said}") as raised:
        read_report(other, "faces")
    assert type(raised.value) is error


def test_a_report_of_the_first_version_named_none(store: Store, tmp_path: Path) -> None:
    other = bucket(tmp_path / "bucket")
    publish_index(other, "faces", "i", unit_rows(1))
    old = {name: value for name, value in read_report(store, "faces").data.items() if name != "report"}
    other.write("indexes/faces/i/report.json", json.dumps(old).encode())
    with pytest.raises(ArtifactError, match=f"expected report {REPORT}, got 1"):
        read_report(other, "faces")
    other.write("indexes/faces/i/report.json", b"<html>")
    with pytest.raises(ArtifactCorrupt, match="expected JSON, got b'<html>'"):
        read_report(other, "faces")
