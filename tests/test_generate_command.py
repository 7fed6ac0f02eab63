"""`lim generate`: the files it writes, what it says, and what it leaves when it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from configs.settings import Images, Settings, Source, Storage
from pipeline.generate.command import generate
from pipeline.generate.faces import Faces, Generator
from pipeline.generate.regimes import GenerateError
from pipeline.generate.writers import write
from pipeline.sources.opening import open_source
from pipeline.sources.places import Place
from pipeline.sources.rows import Rows, joined


class Context:
    """What the command line hands to a command, with the defaults."""

    settings = Settings()


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(generate, [str(argument) for argument in arguments], obj=Context())
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def read(path: Path | str) -> Rows:
    source = open_source(str(path), Source(), Images(), Storage())
    return joined([source.read(part) for part in source.partitions(10_000)], source.listing().dim)


@pytest.mark.parametrize("name", ["faces.parquet", "faces.npy", "faces/"])
def test_descriptors_and_probes_are_written_and_read_back(tmp_path: Path, name: str) -> None:
    out, mates = f"{tmp_path}/{name}", f"{tmp_path}/p-{name}"
    arguments = ("--rows", 700, "--dim", 24, "--regime", "wide", "--seed", 5, "--out", out)
    run(*arguments, "--probes", 30, "--probes-out", mates)
    rows, expected = read(out), Generator("wide", 5, 24).rows(0, 700)
    assert (rows.ids, rows.people, rows.rejects) == (expected.ids, expected.people, ())
    np.testing.assert_allclose(rows.descriptors, expected.descriptors, atol=5e-4)
    found = read(mates)
    assert found.people is not None
    assert len(set(found.people)) == 30
    assert set(found.people) <= set(expected.people)
    assert not set(found.ids) & set(rows.ids)
    gallery = dict(zip(expected.people, expected.descriptors, strict=True))
    own = np.stack([gallery[person] for person in found.people]).astype(np.float32)
    assert np.einsum("ij,ij->i", own, found.descriptors.astype(np.float32)).mean() == pytest.approx(0.66, abs=0.1)


def test_the_parquet_file_is_as_documented(tmp_path: Path) -> None:
    path = tmp_path / "faces.parquet"
    run("--rows", 60_000, "--dim", 16, "--regime", "isotropic", "--out", path)
    parquet = pq.ParquetFile(path)
    assert [(field.name, str(field.type)) for field in parquet.schema_arrow] == [
        ("id", "string"),
        ("person", "string"),
        ("descriptor", "fixed_size_list<element: halffloat not null>[16]"),
    ]
    groups = [parquet.metadata.row_group(number).num_rows for number in range(parquet.metadata.num_row_groups)]
    assert groups == [25_000, 25_000, 10_000]
    assert parquet.schema_arrow.metadata[b"lim.descriptor_version"] == b"generated-isotropic-16"
    assert pa.types.is_float16(parquet.read_row_group(2).column("descriptor").type.value_type)


def test_the_figures_are_printed_and_written(tmp_path: Path) -> None:
    result = run("--rows", 100, "--out", tmp_path / "a.npy", "--json", tmp_path / "figures.json")
    assert "Descriptors: 100 rows of 512" in result.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert {name: figures[name] for name in ("rows", "dim", "regime", "seed")} == {
        "rows": 100,
        "dim": 512,
        "regime": "mixture",
        "seed": 1,
    }
    assert figures["rows_per_s"] == pytest.approx(100 / figures["seconds"], rel=0.5)
    assert json.loads(run("--rows", 9, "--out", tmp_path / "b.npy", "--json", "-").stdout)["rows"] == 9


def test_the_same_command_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet"):
        run("--rows", 500, "--regime", "tree", "--out", tmp_path / name)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_folder_holds_files_of_a_fixed_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.generate.writers.FILE_ROWS", 50_000)
    run("--rows", 60_000, "--dim", 4, "--regime", "isotropic", "--out", f"{tmp_path}/faces/")
    assert sorted(path.name for path in (tmp_path / "faces").iterdir()) == ["part-00000.parquet", "part-00001.parquet"]
    assert read(tmp_path / "faces").people == [f"p{number:09d}" for number in range(60_000)]
    with pytest.raises(GenerateError, match=r"expected an empty folder, found part-0000\d\.parquet"):
        run("--rows", 10, "--dim", 4, "--regime", "isotropic", "--out", f"{tmp_path}/faces/")


def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    assert "--probes and --probes-out go together" in run("--rows", 9, "--out", "a.npy", "--probes", 3, code=2).output
    with pytest.raises(GenerateError, match=r"ends in \.parquet, \.npy or / \(a folder\), got '.*a\.csv'"):
        run("--rows", 9, "--out", tmp_path / "a.csv")
    with pytest.raises(GenerateError, match="dim: expected 512 for mixture, got 64"):
        run("--rows", 9, "--dim", 64, "--out", tmp_path / "a.npy")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GenerateError, match=r"a\.npy: cannot be written"):
        run("--rows", 9, "--out", tmp_path / "file" / "a.npy")


@pytest.mark.parametrize("name", ["a.parquet", "a.npy"])
def test_what_fails_halfway_leaves_nothing(tmp_path: Path, name: str) -> None:
    generator = Generator("isotropic", 1, 8)

    def chunks() -> Iterator[Faces]:
        yield generator.chunk(0, 100)
        raise click.Abort

    with pytest.raises(click.Abort):
        list(write(Place(f"{tmp_path}/{name}"), chunks(), rows=200, dim=8, version="x"))
    assert list(tmp_path.iterdir()) == []


PROGRAM = """
import sys
from configs.settings import Settings
from pipeline.generate.command import generate
class Context: settings = Settings()
generate(sys.argv[1:], obj=Context())
"""


def test_a_killed_run_leaves_no_half_file(tmp_path: Path) -> None:
    command: list[Any] = [sys.executable, "-c", PROGRAM, "--rows", "5000000", "--out", tmp_path / "a.parquet"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 30
        while not any(path.stat().st_size > 1 << 20 for path in tmp_path.iterdir()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "a.parquet").exists()
    assert [path.name.startswith(".a.parquet.") for path in tmp_path.iterdir()] == [True]
