"""`lim plan`: the tables it prints, what it refuses, what it measures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from configs.cli import Context
from configs.load import load
from configs.settings import Settings, Storage
from pipeline.artifact import open_store
from pipeline.errors import PlanImpossible
from pipeline.planning.calibrating import calibrated
from pipeline.planning.cluster import Cluster
from pipeline.planning.command import plan
from pipeline.planning.rates import Rates


def run(home: Path, *words: str, **settings: str) -> Any:
    rates = ("--rates", str(home / "rates.json"))
    context = Context(None, {name.replace("__", "."): value for name, value in settings.items()})
    return CliRunner().invoke(plan, [*rates, *words], obj=context, catch_exceptions=False)


def test_the_table_of_four_sizes(tmp_path: Path) -> None:
    said = run(tmp_path, "--workers", "8", "--memory-limit", "4GiB").output
    for rows in ("1,000,000", "10,000,000", "100,000,000", "1,000,000,000"):
        assert rows in said
    assert "8 workers x 1 tasks, 8 cores, 4 GiB each" in said
    assert "1,000,000,000 rows: set build.shard_bytes to " in said
    assert "262,144 cells need 10,485,760 sample rows" in said
    assert "refused" not in said


def test_json_of_the_sizes_asked_for(tmp_path: Path) -> None:
    words = ("--rows", "100000", "--rows", "400000", "--recipe", "scan", "--target", "0.01", "--workers", "3", "--json")
    found = json.loads(run(tmp_path, *words).stdout)
    assert [(one["rows"], one["recipe"], one["cells"]) for one in found["plans"]] == [
        (100_000, "scan", 0),
        (400_000, "scan", 0),
    ]
    assert found["very_many_cells"]["cells"] == 262_144


def test_a_single_list_that_cannot_be_built_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PlanImpossible, match=r"needs [\d,]+ bytes for 1,000,000 rows of 512, allowed are 209,715,200"):
        run(tmp_path, "--rows", "1000000", "--memory-limit", "200MiB")


def test_settings_decide_where_nothing_is_said(tmp_path: Path) -> None:
    settings = {
        "dask__workers": "5",
        "dask__memory_limit": "3GiB",
        "dask__threads_per_worker": "2",
        "build__recipe": "exact",
    }
    said = run(tmp_path, "--rows", "100000", **settings).output
    assert "5 workers x 2 tasks, 10 cores, 3 GiB each" in said
    assert "exact" in said


def test_measured_speeds_are_used(tmp_path: Path) -> None:
    words = ("--rows", "1000000", "--json")
    before = json.loads(run(tmp_path, *words).stdout)["plans"][0]["seconds"]
    slow = replace(Rates(), searched=Rates().searched / 10)
    (tmp_path / "rates.json").write_text(slow.to_json())
    assert json.loads(run(tmp_path, *words).stdout)["plans"][0]["seconds"] > 2 * before


def test_the_default_place_is_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.planning.command import rates_file

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert rates_file(Settings()) == tmp_path / "lim" / "rates.json"
    loaded = load(None, {}, {"plan.rates": "~/mine.json"})
    assert rates_file(loaded.settings) == Path.home() / "mine.json"


@pytest.mark.timeout(120)
def test_this_machine_is_measured_by_real_work(tmp_path: Path) -> None:
    """The short form: whatever a machine is like, its figures are positive and the bucket is left as it was."""
    settings = Settings(storage=Storage(bucket=str(tmp_path / "bucket")))
    found = calibrated(settings, Cluster(workers=1, threads=1, memory_limit=0, cores=1), budget_s=0.2)
    shipped = Rates()
    assert found != shipped
    for name, speed in found.kinds.items():
        assert 1 / 300 < speed / shipped.kinds[name] < 300, name
    assert 0 < found.item_s < 1
    assert 0 < found.request_s < 0.5
    assert 80e6 < found.process < 800e6
    assert open_store(settings.storage.bucket, settings.storage).keys() == []
