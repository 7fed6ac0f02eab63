"""`lim match` and `lim load` as a person types them, against a real matcher."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from matchers import environment, matchers
from published import DIM, Published, bucket, publish_index, unit_rows
from waiting import wait_until

from manager.embedded.processes import free_port
from matcher.outputs import OutputError, expect_folders
from matcher.probes import read_probes

COUNT = 60


@dataclass
class World:
    """A matcher, two labels, probes, and where the commands run."""

    folder: Path
    environ: dict[str, str]
    faces: Published
    guests: Published
    probes: np.ndarray

    def lim(self, *arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder."""
        return subprocess.run(
            [sys.executable, "-m", "configs.cli", *map(str, arguments)],
            cwd=self.folder, env={**os.environ, **self.environ, **environ}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def done(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a command that must succeed."""
        ended = self.lim(*arguments)
        assert ended.returncode == 0, ended.stderr
        return ended

    def refused(self, *arguments: object, **environ: str) -> str:
        """Run a command that must fail with one line, without a traceback; returns the line."""
        ended = self.lim(*arguments, **environ)
        assert ended.returncode == 1, ended
        lines = ended.stderr.strip().splitlines()
        assert lines[-1].startswith("error: "), ended.stderr
        assert "Traceback" not in ended.stderr
        return lines[-1]


@pytest.fixture(scope="module")
def world(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    folder = tmp_path_factory.mktemp("match")
    store = bucket(folder / "bucket")
    faces = publish_index(store, "faces", "faces", unit_rows(1))
    guests = publish_index(store, "guests", "guests", unit_rows(2), ids=range(400))
    probes = (faces.rows[:COUNT].astype(np.float32) + guests.rows[:COUNT].astype(np.float32)) / 2
    np.save(folder / "probes.npy", probes)
    with matchers(folder, valkey_url) as group:
        group.start()
        yield World(folder, environment(folder, valkey_url), faces, guests, probes)


def test_parquet_has_the_promised_columns(world: World) -> None:
    done = world.done("match", "--label", "faces", "--probes", "probes.npy", "--limit", 5, "--out", "answers.parquet")
    assert f"{COUNT} probes in " in done.stderr
    assert "answers.parquet" in done.stderr
    table = pq.read_table(world.folder / "answers.parquet")
    assert table.schema == pa.schema([
        ("probe", pa.int64()), ("rank", pa.int32()), ("id", pa.string()), ("similarity", pa.float32()),
    ])  # fmt: skip
    similarities, ids = world.faces.truth(world.probes, 5)
    assert table["probe"].to_pylist() == [number for number in range(COUNT) for _ in range(5)]
    assert table["rank"].to_pylist() == [1, 2, 3, 4, 5] * COUNT
    assert table["id"].to_pylist() == [one for row in ids for one in row]
    assert np.allclose(table["similarity"].to_numpy(), similarities.ravel(), atol=1e-5)


def test_csv_of_several_labels_says_where(world: World) -> None:
    world.done(
        "match", "--label", "faces", "--label", "guests", "--probes", "probes.npy", "--limit", 4, "--out", "a.csv",
        "--json", "figures.json",
    )  # fmt: skip
    assert json.loads((world.folder / "figures.json").read_text())["candidates"] == 4 * COUNT
    with (world.folder / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["probe", "rank", "id", "similarity", "label"]
    assert len(rows) == 4 * COUNT
    for number in range(COUNT):
        mine = rows[4 * number : 4 * number + 4]
        assert [row["rank"] for row in mine] == ["1", "2", "3", "4"]
        found = [float(row["similarity"]) for row in mine]
        assert found == sorted(found, reverse=True)
        assert {(row["id"], row["label"]) for row in mine[:2]} == {
            (f"faces-{number}", "faces"),
            (str(number), "guests"),
        }


def test_jsonl_above_a_threshold(world: World) -> None:
    world.done("match", "--label", "faces", "--probes", "probes.npy", "--threshold", 0.6, "--out", "a.jsonl")
    rows = [json.loads(line) for line in (world.folder / "a.jsonl").read_text().splitlines()]
    similarities, _ = world.faces.truth(world.probes, 10)
    assert len(rows) == (similarities >= 0.6).sum()
    assert all(sorted(row) == ["id", "probe", "rank", "similarity"] and row["similarity"] >= 0.6 for row in rows)


def test_a_threshold_that_nobody_reaches_writes_a_table_without_rows(world: World) -> None:
    world.done("match", "--label", "faces", "--probes", "probes.npy", "--threshold", 1.1, "--out", "none.parquet")
    table = pq.read_table(world.folder / "none.parquet")
    assert table.num_rows == 0
    assert table.column_names == ["probe", "rank", "id", "similarity"]


def test_without_a_file_the_best_are_shown(world: World) -> None:
    done = world.done("match", "--label", "faces", "--probes", "probes.npy", "--limit", 1)
    assert "faces-0" in done.stdout
    assert "faces-9" in done.stdout
    assert "faces-10" not in done.stdout
    assert f"{COUNT - 10} more probes: give --out to write all" in done.stderr


def test_figures_as_json(world: World) -> None:
    figures = json.loads(world.done("match", "--label", "faces", "--probes", "probes.npy", "--json", "-").stdout)
    assert figures["probes"] == COUNT
    assert figures["candidates"] == 10 * COUNT
    assert figures["probes_per_s"] == pytest.approx(COUNT / figures["seconds"])


def test_probes_of_a_build_are_read(world: World) -> None:
    """Parquet as `lim generate` writes it; and npz."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(world.probes.ravel()), DIM)
    pq.write_table(pa.table({"id": pa.array(range(COUNT)), "descriptor": column}), world.folder / "p.parquet")
    np.savez(world.folder / "p.npz", descriptor=world.probes, other=np.arange(3))
    large = pa.array(world.probes.astype(float).tolist(), pa.large_list(pa.float64()))
    pq.write_table(pa.table({"descriptor": large}), world.folder / "large.parquet", row_group_size=7)
    for name in ("p.parquet", "p.npz", "large.parquet"):
        assert np.array_equal(read_probes(world.folder / name), world.probes)


def test_nobody_serves_the_label(world: World) -> None:
    line = world.refused("match", "--label", "strangers", "--probes", "probes.npy", "--wait", 0)
    assert "nobody serves label 'strangers'" in line
    assert "lim matcher" in line


def test_a_label_that_was_built_a_moment_ago_is_waited_for(world: World) -> None:
    command = [
        sys.executable,
        "-m",
        "configs.cli",
        "match",
        "--label",
        "late",
        "--probes",
        "probes.npy",
        "--out",
        "l.csv",
    ]
    log = world.folder / "late.log"
    with log.open("w") as file, subprocess.Popen(
        command, cwd=world.folder, env=os.environ | world.environ, stderr=file
    ) as asking:  # fmt: skip
        wait_until(lambda: "waiting until a matcher serves late" in log.read_text(), what="the waiting")
        publish_index(bucket(world.folder / "bucket"), "late", "late", unit_rows(3))
        assert asking.wait(20) == 0
    assert (world.folder / "l.csv").read_text().count("late-") == 10 * COUNT


def test_probes_of_another_dimension(world: World) -> None:
    np.save(world.folder / "wide.npy", np.ones((3, DIM + 1)))
    line = world.refused("match", "--label", "faces", "--probes", "wide.npy", "--out", "wide.csv")
    assert f"expected a descriptor of {DIM} numbers, got shape ({DIM + 1},)" in line
    assert not (world.folder / "wide.csv").exists()


def test_a_limit_out_of_bounds(world: World) -> None:
    line = world.refused("match", "--label", "faces", "--probes", "probes.npy", "--limit", 10_000)
    assert "limit: expected 1 to 1000, got 10000" in line


@pytest.mark.parametrize("command", ["match", "load"])
def test_no_redis(world: World, command: str) -> None:
    url = f"redis://:pass-word@127.0.0.1:{free_port()}/0"
    line = world.refused(command, "--label", "faces", "--probes", "probes.npy", LIM_REDIS__URL=url)
    assert "redis.url: nothing answers at redis://:***@127.0.0.1" in line
    assert "lim up" in line


def test_an_ending_nobody_knows(world: World) -> None:
    line = world.refused("match", "--label", "faces", "--probes", "probes.npy", "--out", "answers.xlsx")
    assert "expected a name that ends in .parquet, .csv, .jsonl, got '.xlsx'" in line


def test_a_folder_that_is_not_there_is_said_before_asking(world: World) -> None:
    line = world.refused("match", "--label", "strangers", "--probes", "probes.npy", "--out", "nowhere/a.csv")
    assert "nowhere/a.csv: expected a folder nowhere to write into" in line
    expect_folders(None, "-", "", "here.json", world.folder / "a.csv")
    with pytest.raises(OutputError, match="expected a folder"):
        expect_folders("here.json", world.folder / "nowhere" / "a.csv")


def test_a_bad_file_is_an_error_of_one_line(world: World, tmp_path: Path) -> None:
    (tmp_path / "cut.npy").write_bytes((world.folder / "probes.npy").read_bytes()[:200])
    line = world.refused("match", "--label", "faces", "--probes", tmp_path / "cut.npy")
    assert f"{tmp_path / 'cut.npy'}: expected vectors, got a file that cannot be read" in line


def figures_of(text: str) -> dict:
    figures = json.loads(text)
    assert set(figures) == {
        "requests", "answered", "errors", "seconds", "probes_per_s", "p50_ms", "p99_ms", "max_ms", "cpu_us_per_request",
    }  # fmt: skip
    assert 0 < figures["p50_ms"] <= figures["p99_ms"] <= figures["max_ms"]
    assert figures["cpu_us_per_request"] > 0
    return figures


def test_a_closed_loop_is_measured_and_its_answers_kept(world: World) -> None:
    done = world.done(
        "load", "--label", "faces", "--probes", "probes.npy", "--in-flight", 8, "--limit", 3, "--answers", "kept.npz",
        "--json", "-",
    )  # fmt: skip
    figures = figures_of(done.stdout)
    assert (figures["requests"], figures["answered"], figures["errors"]) == (COUNT, COUNT, {})
    kept = np.load(world.folder / "kept.npz")
    similarities, ids = world.faces.truth(world.probes, 3)
    assert kept["probe"].tolist() == list(range(COUNT))
    assert kept["ids"].tolist() == ids
    assert np.allclose(kept["similarities"], similarities, atol=1e-5)


def test_an_open_loop_keeps_its_pace(world: World) -> None:
    (world.folder / "labels.txt").write_text("faces\nguests\n")
    done = world.done(
        "load", "--labels-from", "labels.txt", "--probes", "probes.npy", "--requests", 150, "--rate", 300, "--json", "load.json"
    )  # fmt: skip
    assert done.stdout == ""
    figures = figures_of((world.folder / "load.json").read_text())
    assert (figures["requests"], figures["answered"]) == (150, 150)
    assert figures["seconds"] >= 149 / 300  # never faster than asked


def test_errors_are_counted_by_code(world: World) -> None:
    (world.folder / "mixed.txt").write_text("faces\nstrangers\n")
    done = world.done("load", "--labels-from", "mixed.txt", "--probes", "probes.npy", "--requests", 20, "--json", "-")
    figures = figures_of(done.stdout)
    assert (figures["requests"], figures["answered"], figures["errors"]) == (20, 10, {"26304": 10})


def test_a_load_on_nothing_is_a_usage_error(world: World) -> None:
    ended = world.lim("load", "--probes", "probes.npy")
    assert ended.returncode == 2
    assert "give --label or --labels-from" in ended.stderr
