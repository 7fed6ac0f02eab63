"""The build, end to end: two runners, resuming, refusals, bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from waiting import wait_until

from configs.settings import Build, Dask, Quality, Settings, Source, Storage
from manager.embedded.seaweed import S3
from pipeline.artifact import Ids, Point, open_store, read_head, read_manifest
from pipeline.build import Built, Order, build
from pipeline.errors import BuildError, IndexRefused, PlanImpossible
from pipeline.generate.faces import Generator
from pipeline.graph import cluster, on_dask
from pipeline.progress import Lines
from pipeline.recipes.cells import Cells
from pipeline.search.opening import open_index
from pipeline.sources.errors import SourceError
from pipeline.stage import Done, Item, Runner, Stage, serial
from pipeline.stages import BUILD
from pipeline.workspace import Work

ROWS = 6_000
SMALL = Quality(mated_probes=1_500, non_mates=500, added_fnir=0.003)


def settings_for(bucket: str, **build_fields: object) -> Settings:
    fields = {"partition_rows": 1_500, "sample_rows": 4_000, **build_fields}
    return Settings(storage=Storage(bucket=bucket), build=Build(**fields), quality=SMALL)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6,000 face-like rows with string ids."""
    rows, _, _ = Generator("mixture", 3).chunk(0, ROWS)
    path = tmp_path_factory.mktemp("gallery") / "rows.npz"
    np.savez(path, descriptors=rows, id=np.array([f"face-{number}" for number in range(ROWS)]))
    return path


def run(source: Path | str, settings: Settings, runner: Runner = serial, label: str = "list") -> Built:
    return build(Order(str(source), label), settings, lambda: runner, Lines())


@pytest.fixture(scope="module")
def scan(gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, Path]:
    """A serial build of the scan recipe, which others are compared with."""
    bucket = tmp_path_factory.mktemp("scan") / "bucket"
    return run(gallery, settings_for(str(bucket), recipe="scan")), bucket


def test_published_index_answers_and_the_work_folder_is_gone(scan: tuple[Built, Path], gallery: Path) -> None:
    built, bucket = scan
    store = open_store(str(bucket))
    head, _ = read_head(store, "list")
    assert head.index_id == built.manifest.index_id
    assert store.keys("work/") == []
    assert not [key for key in store.keys("indexes/") if "candidates" in key]
    assert built.manifest.quality["added_fnir"] <= SMALL.added_fnir
    folder = bucket / "indexes" / "list" / head.index_id / "shards" / "0000"
    index = open_index(folder, read_manifest(store, "list", head.index_id))
    with np.load(gallery) as arrays:
        queries = arrays["descriptors"][:50].astype(np.float32)
    similarities, numbers = index.search(queries, 5)
    assert index.ids.take(numbers[:, 0]) == [f"face-{number}" for number in range(50)]
    assert np.allclose(similarities[:, 0], 1.0, atol=2e-3)
    index.close()


@pytest.mark.parametrize("recipe", ["exact", "cells"])
def test_every_recipe_builds(gallery: Path, tmp_path: Path, recipe: str) -> None:
    built = run(gallery, settings_for(str(tmp_path / "b"), recipe=recipe))
    assert built.manifest.recipe == recipe
    assert built.manifest.count == ROWS


@pytest.mark.timeout(120)
def test_dask_and_serial_publish_the_same_digest(scan: tuple[Built, Path], gallery: Path, tmp_path: Path) -> None:
    with cluster(Dask(workers=2)) as client:
        on_cluster = run(gallery, settings_for(str(tmp_path / "b"), recipe="scan"), on_dask(client))
        events = client.get_events("lim-build")
    assert on_cluster.manifest.content_digest == scan[0].manifest.content_digest
    assert {event["stage"] for _, event in events} >= {"extract", "train", "encode", "measure", "publish"}


def test_another_seed_gives_another_digest(scan: tuple[Built, Path], gallery: Path, tmp_path: Path) -> None:
    other = run(gallery, settings_for(str(tmp_path / "b"), recipe="scan", seed=2))
    assert other.manifest.content_digest != scan[0].manifest.content_digest


def test_on_s3_the_same_index_comes_out(scan: tuple[Built, Path], gallery: Path, s3_server: S3) -> None:
    settings = settings_for("s3://lim/build-test", recipe="scan")
    settings = replace(settings, storage=replace(settings.storage, endpoint_url=s3_server.endpoint))
    assert run(gallery, settings).manifest.content_digest == scan[0].manifest.content_digest


def stages(*quick: str) -> list[object]:
    """All stages; those that are not named here are drilled."""
    return [pytest.param(one.name, marks=() if one.name in quick else pytest.mark.drill) for one in BUILD]


@pytest.mark.parametrize("stage", stages("extract", "train", "assemble", "measure", "publish"))
def test_a_failure_in_any_stage_is_continued(
    scan: tuple[Built, Path], gallery: Path, tmp_path: Path, stage: str
) -> None:
    """The stage's last item fails once; the second run redoes no finished item and publishes the same digest."""
    settings = settings_for(str(tmp_path / "b"), recipe="scan")
    done: list[tuple[str, str]] = []

    class Broken(Exception):
        pass

    def failing(its: Stage, work: Work, items: list[Item], report: object) -> None:
        for item in items:
            if its.name == stage and item == items[-1]:
                raise Broken
            serial(its, work, [item], lambda one: done.append((its.name, one.key)))

    with pytest.raises(Broken):
        run(gallery, settings, failing)
    before = list(done)

    def counting(its: Stage, work: Work, items: list[Item], report: object) -> None:
        serial(its, work, items, lambda one: done.append((its.name, one.key)))

    again = run(gallery, settings, counting)
    assert again.manifest.content_digest == scan[0].manifest.content_digest
    assert len(done) == len(set(done))
    assert not set(done[len(before) :]) & set(before)


def lim(*arguments: str, **environ: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "configs.cli", *arguments], env={**os.environ, **environ}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.timeout(180)
@pytest.mark.parametrize("stage", stages("train", "publish"))
def test_a_killed_build_is_continued_by_the_same_command(
    scan: tuple[Built, Path], gallery: Path, tmp_path: Path, stage: str
) -> None:
    """kill -9 of the whole process group, workers included, then the same command again."""
    environ = {
        "LIM_STORAGE__BUCKET": str(tmp_path / "b"), "LIM_BUILD__PARTITION_ROWS": "1500", "LIM_BUILD__SAMPLE_ROWS": "4000",
        "LIM_QUALITY__MATED_PROBES": "1500", "LIM_QUALITY__NON_MATES": "500", "LIM_QUALITY__ADDED_FNIR": "0.003",
        "LIM_DASK__WORKERS": "2",
    }  # fmt: skip
    command = ("build", str(gallery), "--label", "list", "--recipe", "scan", "--json", "-")
    first = lim(*command, **environ)
    store = open_store(str(tmp_path / "b"))
    # publish removes its marker with the work folder, so there the manifest is waited for
    begun = ("indexes/", "/meta.json") if stage == "publish" else ("work/", f"/done/{stage}/")
    wait_until(lambda: any(begun[1] in key for key in store.keys(begun[0])), timeout_s=60, what=f"an item of {stage}")
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    finished = {key: store.read(key) for key in store.keys("work/") if "/done/" in key}
    assert finished or stage == "publish"
    second = lim(*command, **environ)
    out, err = second.communicate(timeout=120)
    assert second.returncode == 0, err.decode()
    figures = json.loads(out)
    assert figures["content_digest"] == scan[0].manifest.content_digest
    redone = figures["stages"].get("extract", {"items": 0})["items"]
    assert redone == 4 - sum("/extract/" in key for key in finished)
    assert store.keys("work/") == []
    assert read_head(store, "list")[0].index_id == figures["index_id"]


def test_a_hopeless_index_is_refused_with_figures_and_force_publishes_it(gallery: Path, tmp_path: Path) -> None:
    """One probed cell of many, too few to re-rank: the gate says by how much it fails."""
    settings = settings_for(str(tmp_path / "b"), recipe="cells")
    settings = replace(settings, quality=replace(SMALL, added_fnir=0.002))
    original = Cells.candidates
    patched = pytest.MonkeyPatch()
    patched.setattr(
        Cells, "candidates", lambda self, facts: [replace(one, points=(Point(1, 10),)) for one in original(self, facts)]
    )
    try:
        with pytest.raises(IndexRefused, match=r"added FNIR 0\.\d+ .*mates lost.*allowed 0\.002.*--force"):
            run(gallery, settings)
        with pytest.raises(Exception, match="nothing is published"):
            read_head(open_store(str(tmp_path / "b")), "list")
        forced = run(gallery, replace(settings, build=replace(settings.build, force=True)))
    finally:
        patched.undo()
    assert forced.manifest.forced
    assert forced.manifest.quality["added_fnir"] > 0.002


def test_rejects_are_counted_and_listed_in_the_bucket(gallery: Path, tmp_path: Path) -> None:
    with np.load(gallery) as arrays:
        rows, names = arrays["descriptors"].copy(), arrays["id"].copy()
    rows[7], rows[2000], names[5000] = np.nan, 0, names[10]
    np.savez(tmp_path / "dirty.npz", descriptors=rows, id=names)
    built = run(tmp_path / "dirty.npz", settings_for(str(tmp_path / "b"), recipe="exact"))
    assert built.manifest.count == ROWS - 3
    assert built.manifest.rejects["count"] == 3
    store = open_store(str(tmp_path / "b"))
    text = store.read(f"indexes/list/{built.manifest.index_id}/rejects.jsonl").decode()
    listed = {one["row"]: one["reason"] for one in map(json.loads, text.splitlines())}
    assert set(listed) == {7, 2000, 5000}
    assert "duplicate id" in listed[5000]
    ids = Ids.open(store.read(f"indexes/list/{built.manifest.index_id}/shards/0000/ids.dat"))
    assert len(set(ids)) == ROWS - 3


def test_too_many_rejects_stop_the_build_with_the_first_reasons(tmp_path: Path) -> None:
    rows = np.zeros((100, 16), np.float32)
    rows[:50] = 1
    np.save(tmp_path / "half.npy", rows)
    with pytest.raises(BuildError, match=r"50 of 100 rows rejected, allowed are 5%.*row 50"):
        run(tmp_path / "half.npy", settings_for(str(tmp_path / "b")))


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "zeros.npy", np.zeros((10, 16), np.float32))
    with pytest.raises(BuildError, match=r"expected descriptors, got none that can be indexed; row 0"):
        run(tmp_path / "zeros.npy", settings_for(str(tmp_path / "b")))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda path: None, SourceError, "rows.npy"),
        (lambda path: path.write_bytes(b""), SourceError, "rows.npy"),
        (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr'"), SourceError, "rows.npy"),
        (lambda path: np.save(path, np.zeros((0, 8), np.float32)), SourceError, "rows.npy"),
    ],
    ids=["missing", "empty", "truncated", "no rows"],
)
def test_bad_sources(tmp_path: Path, make, error: type[Exception], message: str) -> None:
    make(tmp_path / "rows.npy")
    with pytest.raises(error, match=message):
        run(tmp_path / "rows.npy", settings_for(str(tmp_path / "b")))


def test_bad_labels_and_impossible_limits(gallery: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="expected 1 to 200 printable characters"):
        run(gallery, settings_for(str(tmp_path / "b")), label="a\nb")
    with pytest.raises(PlanImpossible, match="need at least"):
        run(gallery, settings_for(str(tmp_path / "b"), memory_limit_bytes=1_000))


def test_a_tiny_list_gets_the_exact_recipe(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).standard_normal((5, 8)).astype(np.float32)
    np.save(tmp_path / "five.npy", rows)
    built = run(tmp_path / "five.npy", settings_for(str(tmp_path / "b")))
    assert built.manifest.recipe == "exact"
    assert built.manifest.count == 5


def test_real_faces_lose_nobody(shared_data: Path, tmp_path: Path) -> None:
    settings = Settings(storage=Storage(bucket=str(tmp_path / "b")), source=Source())
    built = run(shared_data / "faces.npz", settings)
    assert built.manifest.quality["added_fnir"] == 0
    assert built.manifest.quality["recall_at_10"] >= 0.99
    assert built.manifest.quality["probes_from"].startswith("labelled rows of the list itself")
    assert 0.9 < 1 - built.manifest.quality["rank1_miss"] <= 1


def test_progress_lines_say_how_far_it_is(caplog: pytest.LogCaptureFixture) -> None:
    lines = Lines()
    lines.every_s = 0.0
    with caplog.at_level("INFO"):
        lines.started("encode", 4, 1)
        time.sleep(0.001)
        lines.item("encode", Done("00001", 100, 0.1))
        lines.ended("encode", 0.5)
    assert "2 of 4 items" in caplog.text
    assert "200 rows/s" in caplog.text
