"""`lim bench build`, `lim bench plan`: both run end to end on little, and their arithmetic is right."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from marked import lim

from manager.bench.builds.one_build import EVALUATION, Measured, Shape
from manager.bench.builds.peer import extrapolated
from manager.bench.builds.timed_store import Spent, Timed, taken
from pipeline.artifact import Manifest, open_store
from pipeline.stages import BUILD

pytestmark = pytest.mark.timeout(240)


def test_build_on_little(tmp_path: Path) -> None:
    words = ("--rows", "3000", "--recipes", "scan", "--shapes", "1x1,1x2", "--probes", "100", "--hnsw-rows", "500")
    said = lim(
        tmp_path, "bench", "build", *words, "--extrapolate", "--work", "kept", "--json", "found.json", timeout_s=200
    )
    found = json.loads((tmp_path / "found.json").read_text())
    assert [one["shape"] for one in found["builds"]] == ["1x1", "1x2"]
    assert len({one["content_digest"] for one in found["builds"]}) == 1
    for one in found["builds"]:
        assert list(one["stages"]) == [stage.name for stage in BUILD]
        evaluation = sum(one["stages"][name]["seconds"] for name in EVALUATION)
        assert one["making_s"] == pytest.approx(one["seconds"] - evaluation)
        assert one["stages"]["encode"]["cpu_s"] > 0
        assert one["stages"]["extract"]["peak"] > 50 << 20
        assert one["store"]["written"] > 3000 * 512 * 2  # rows once in the work folder, once in the index
        assert (one["plain_s"] > 0) == (one["shape"] == "1x1")  # threads of one process share its time
    if find_spec("hnswlib") is None:
        assert "hnswlib>=0.8" in found["hnswlib"]["unavailable"], "what to install"
    else:
        assert found["hnswlib"]["rows"] == 500
        assert found["hnswlib"]["extrapolated"]["rows"] == 3000
        assert "extrapolated, not measured" in said
    for words_ in ("rows/s/core", "a plain copy", "digests of the shapes", "evaluation apart"):
        assert words_ in said
    assert (tmp_path / "kept" / "galleries" / "mixture-3000.npy").exists()
    assert not list((tmp_path / "kept" / "bucket").rglob("*.dat"))


def test_plan_on_little(tmp_path: Path) -> None:
    words = ("--rows", "3000", "--recipe", "scan", "--mated-probes", "100", "--non-mates", "100", "--shape", "1x1")
    said = lim(tmp_path, "bench", "plan", *words, "--json", "found.json", timeout_s=200, XDG_CONFIG_HOME=str(tmp_path))
    (one,) = json.loads((tmp_path / "found.json").read_text())["builds"]
    assert [stage["stage"] for stage in one["stages"]] == [stage.name for stage in BUILD]
    total = one["total"]
    assert total["seconds"] == pytest.approx(sum(stage["seconds"] for stage in one["stages"]))
    assert total["time_ratio"] == pytest.approx(total["predicted_s"] / total["seconds"])
    assert total["peak"] == max(stage["peak"] for stage in one["stages"])
    # that near on the smallest list, whatever the machine is doing: memory does not depend on it
    assert 0.7 < total["memory_ratio"] < 1.4
    for stage in one["stages"]:
        assert stage["predicted_items"] == stage["items"], stage["stage"]
    assert "in all" in said


def test_a_timed_store_counts_bytes_and_leaves_out_what_makes_them(tmp_path: Path) -> None:
    store = Timed(open_store(str(tmp_path)))
    taken()
    store.write("a", b"123")
    store.write_from("b", (bytes(1000) for _ in range(sum(1 for _ in range(2_000_000)) // 2_000_000)))
    assert store.read("a") + store.read_range("b", 0, 10) == b"123" + bytes(10)
    spent = taken()
    assert (spent.written, spent.read) == (1003, 13)
    assert 0 < spent.write_s < 1
    assert taken() == Spent()


def test_rows_per_core_leave_the_evaluation_out() -> None:
    stage = {"seconds": 1.0, "cpu_s": 0.5, "items": 1.0, "peak": 1.0, "store_s": 0.0}
    manifest = cast(Manifest, SimpleNamespace(count=1200, content_digest="x"))
    stages = {one.name: dict(stage) for one in BUILD}
    one = Measured("scan", Shape(2, 1), manifest, 16.0, stages, Spent(), 0.0)
    assert (one.evaluation_s, one.making_s) == (4.0, 12.0)
    assert one.making_cpu_s == 0.5 * (len(BUILD) - 4)
    assert one.rows_per_core(8) == 1200 / 12 / 2
    assert one.rows_per_core(1) == 1200 / 12


@pytest.mark.parametrize("text", ["2", "0x1", "ax1", "2x", ""])
def test_shapes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(invalid literal|0x1)"):
        Shape.of(text)


def test_extrapolation_grows_with_the_logarithm() -> None:
    found: dict[str, Any] = {"rows": 1_000, "rows_per_core": 100.0}
    assert extrapolated(found, 1_000_000) == pytest.approx(50.0)
