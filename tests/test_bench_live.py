"""`lim bench live` runs end to end on little, with comparisons really made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from marked import lim

from manager.bench.live import lines


@pytest.mark.timeout(180)
def test_the_whole_on_little(tmp_path: Path) -> None:
    options = (
        "--rows",
        "4000",
        "--repeats",
        "1",
        "--seconds",
        "1",
        "--rate",
        "100",
        "--share",
        "1",
        "--per-minute",
        "100000",
    )
    said = lim(
        tmp_path, "--set", "quality.added_fnir=0.02", "bench", "live", *options, "--json", "figures.json", timeout_s=150
    )
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["compared"] > 0
    assert found["compare_cpu_s"] > 0
    assert 0.5 < found["recall"] <= 1
    assert found["errors"] == 0
    assert found["p99_ratio"] == pytest.approx(found["with_p99_ms"] / found["without_p99_ms"])
    for words in ("nothing is compared", "at most 100,000 a minute", "ratio of p99"):  # a long line may be broken
        assert words in said
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_is_as_wanted_is_said() -> None:
    found = {
        "without_p50_ms": 1.0, "without_p99_ms": 4.0, "with_p50_ms": 1.1, "with_p99_ms": 4.4, "p99_ratio": 1.1,
        "without_p99_ms_range": [3.0, 5.0], "with_p99_ms_range": [3.0, 6.0],
        "live_share": 0.001, "live_per_minute": 60, "p50_ratio": 1.1, "compared": 12, "compare_cpu_s": 0.1, "recall": 0.97, "errors": 0,
    }  # fmt: skip
    assert "p99 4.40 ms (3.0 to 6.0)" in next(
        value for name, value, *_ in lines(found) if name.startswith("0.001 of them")
    )
    assert [fine for *_, fine in lines(found)] == [None, None, True, None, True, None, True]
    assert [fine for *_, fine in lines(found | {"p99_ratio": 1.2, "compared": 0})] == [
        None, None, False, None, False, None, True,
    ]  # fmt: skip
