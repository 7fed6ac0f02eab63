"""`lim bench peers`: the whole on little, what does not finish, what is not installed, what an interruption leaves."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from marked import Marked, lim

from manager.bench.peers.engine import Unavailable, library
from pipeline.quality.bounds import upper_bound

pytestmark = pytest.mark.timeout(120)

FIELDS = {
    "engine", "regime", "recipe", "rows", "added_fnir", "recall_at_10", "qps", "batch", "build_s", "bytes_per_vector",
}  # fmt: skip
ROWS, TARGET, RECALL = 3_000, 0.02, 0.9
SETTINGS = (
    "quality.mated_probes=800",
    "quality.non_mates=1000",
    f"quality.added_fnir={TARGET}",
    f"quality.recall={RECALL}",
)


def bench(home: Path, engines: str, *options: str) -> tuple[list[dict[str, Any]], str]:
    settings = [word for one in SETTINGS for word in ("--set", one)]
    words = ("--rows", str(ROWS), "--regimes", "tree", "--engines", engines, "--repeats", "2", "--seconds", "0.05")
    said = lim(home, *settings, "bench", "peers", *words, "--json", "found.json", *options, timeout_s=100)
    return json.loads((home / "found.json").read_text()), said


def chosen(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The chosen entry of each engine, which must be one."""
    entries = [entry for entry in found if entry["chosen"]]
    by_engine = {entry["engine"]: entry for entry in entries}
    assert len(by_engine) == len(entries) == len({entry["engine"] for entry in found})
    return by_engine


def test_the_whole_on_little(tmp_path: Path) -> None:
    """Every engine gets one point, that of the gate of `pipeline.quality`; nothing is left but what was asked for."""
    found, said = bench(tmp_path, "ours,exact", "--plot", "found.html")
    for entry in found:
        assert set(entry) >= FIELDS
        assert (entry["rows"], entry["status"], entry["regime"]) == (ROWS, "ok", "tree")
        assert entry["qps"] > 0
        assert entry["added_fnir"] == entry["lost"] / entry["probes"]
        if not entry["chosen"]:
            assert entry["added_fnir_bound"] == upper_bound(entry["lost"], entry["probes"], 0.95)
    one = chosen(found)
    assert list(one) == ["ours", "exact"]
    for name, entry in one.items():
        assert entry["half"] == "gating"
        assert (entry["passed"], entry["lost"], entry["probes"]) == (True, 0, 800)
        assert entry["recall_at_10"] == pytest.approx(1, abs=1e-3)
        assert len(entry["qps_rounds"]) == 2
        assert min(entry["qps_rounds"]) <= entry["qps"] <= max(entry["qps_rounds"])
        assert name in said
    assert one["ours"]["ours_by_this"] == 1
    assert {entry["batch"] for entry in found if entry["engine"] == "exact"} == {64, 256, 1024}
    assert one["exact"]["bytes_per_vector"] > 2_000, "float32 rows are in its memory"
    assert "queries a second" in (tmp_path / "found.html").read_text()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_peer_gets_its_cheapest_point_that_passes(tmp_path: Path) -> None:
    """Its points are those of the printed grid; its index is kept for the next run, with the time that it took."""
    if importlib.util.find_spec("hnswlib") is None:
        pytest.skip("hnswlib is not installed: pip install 'lim[peers]'")
    first, _ = bench(tmp_path, "hnswlib", "--work", "kept")
    tried = [entry for entry in first if not entry["chosen"]]
    assert [entry["point"]["ef"] for entry in tried] == [50 * 2**k for k in range(len(tried))]
    passing = [entry for entry in tried if entry["added_fnir_bound"] <= TARGET and entry["recall_at_10"] >= RECALL]
    before = chosen(first)["hnswlib"]
    assert passing == tried[-1:], "it ends with the first that passes: what comes after is dearer"
    assert before["point"] == tried[-1]["point"]
    assert before["passed"] == (before["added_fnir_bound"] <= TARGET and before["recall_at_10"] >= RECALL)
    again, said = bench(tmp_path, "hnswlib", "--work", "kept")
    after = chosen(again)["hnswlib"]
    assert (before["build_from_earlier_run"], after["build_from_earlier_run"]) == (False, True)
    assert before["build_s"] == after["build_s"] > 0
    assert before["recall_at_10"] == after["recall_at_10"]
    assert "build time of an earlier run" in said


def test_what_takes_too_long_did_not_finish(tmp_path: Path) -> None:
    found, said = bench(tmp_path, "ours", "--limit-s", "0.2")
    assert [(one["chosen"], one["status"], one["qps"]) for one in found] == [(True, "did not finish in 0.2 s", None)]
    assert "did not finish" in said


def test_what_is_not_installed_is_listed(tmp_path: Path) -> None:
    """Python without the peer, by a module of its name that is missing something: as on a machine without the extra."""
    (tmp_path / "hnswlib.py").write_text("raise ModuleNotFoundError(\"No module named 'hnswlib'\", name='hnswlib')\n")
    words = ("--rows", "300", "--regimes", "isotropic", "--engines", "hnswlib", "--json", "found.json")
    said = lim(tmp_path, "bench", "peers", *words, PYTHONPATH=str(tmp_path))
    missing = chosen(json.loads((tmp_path / "found.json").read_text()))["hnswlib"]
    assert missing["status"] == "not installed: pip install 'hnswlib>=0.8'"
    assert (missing["qps"], missing["added_fnir"]) == (None, None)
    assert missing["status"] in said


def test_a_missing_library_says_what_to_install() -> None:
    with pytest.raises(Unavailable, match=re.escape("not installed: pip install 'nobody>=1'")):
        library("nobody_has_this", "nobody>=1")


def test_interrupted_it_leaves_nothing(tmp_path: Path) -> None:
    words = ("bench", "peers", "--rows", str(ROWS), "--regimes", "tree", "--engines", "exact,ours")
    run = Marked(words, tmp_path).start()
    try:
        run.wait_said("ours: building")
        run.signal(signal.SIGINT)
        assert run.finish(30) == 130
        run.wait_nothing_left()
        assert list((tmp_path / "tmp").iterdir()) == []
    finally:
        run.end()
