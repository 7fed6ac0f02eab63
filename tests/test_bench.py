"""`lim bench stream`: runs end to end on little, and its arithmetic is right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import redis
from marked import lim
from waiting import wait_until

from configs.settings import Storage
from manager.bench.labels import publish_lists
from manager.bench.rounds import CORES, Round, medians
from manager.demo.direct import direct_per_s
from manager.embedded.processes import Child
from matcher.messages import parse, vector
from pipeline.artifact import Cache, open_store, read_head, read_manifest
from pipeline.search.opening import open_index

pytestmark = pytest.mark.timeout(240)


def test_the_whole_on_little(tmp_path: Path) -> None:
    options = (
        "--rows",
        "4000",
        "--requests",
        "2000",
        "--repeats",
        "1",
        "--lists",
        "20",
        "--seconds",
        "2",
        "--json",
        "figures.json",
    )
    said = lim(tmp_path, "--set", "quality.added_fnir=0.02", "bench", "stream", *options, timeout_s=200)
    found = json.loads((tmp_path / "figures.json").read_text())
    one, half, flood = found["rounds"], found["paced"], found["flood"]
    assert one["overhead_us"] == pytest.approx(one["redis_us"] + one["matcher_us"] + one["client_us"])
    assert one["of_model"] == pytest.approx(
        one["probes_per_s"] * (1 / one["direct_per_s"] + one["overhead_us"] / CORES / 1e6), rel=1e-6
    )
    single = found["single"]
    assert single["p50_ms"] > single["direct_p50_ms"] > 0
    assert single["matcher_us"] > 0
    assert half["rate"] == pytest.approx(one["probes_per_s"] / 2)
    assert half["answered"] + sum(half["errors"].values()) == int(half["rate"] * 2)
    assert flood["lists"] == 20
    # what arrives is what the machine lets through; it must be more than can be answered to be a flood
    assert flood["flood_per_s"] > flood["capacity_per_s"]
    assert flood["alone_p99_ms"] > 0
    for words in (
        "the index called directly",
        "through Redis",
        "share of what the overhead leaves",
        "one request at a time",
        "quiet lists",
    ):
        assert words in said
    assert list((tmp_path / "tmp").iterdir()) == []


def test_medians_are_of_each_figure_with_the_ratio_within_a_round() -> None:
    done = [Round(1000.0 * n, 500.0 * n, 1.0, 10.0, 20.0, 30.0, 900.0) for n in (1, 2, 4)]
    found = medians(done)
    assert found["direct_per_s"] == 2000.0
    assert found["overhead_us"] == 60.0
    assert found["of_model"] == pytest.approx(1000 * (1 / 2000 + 60e-6 / CORES))


def test_quiet_lists_are_real_indexes(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "bucket"), Storage())
    found = publish_lists(store, ["one", "two"], 64, "generated")
    for label, index_id in found.items():
        assert read_head(store, label)[0].index_id == index_id
        manifest = read_manifest(store, label, index_id)
        index = open_index(Cache(tmp_path / "cache", 1 << 30).fetch(store, manifest), manifest)
        assert (index.rows, index.dim) == (100, 64)
        queries = np.random.default_rng(1).standard_normal((7, 64)).astype(np.float32)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        assert direct_per_s(index, queries, seconds=0.05) > 0
        index.close()
    assert len(set(found.values())) == 2


def test_the_flood_is_of_the_protocol_and_steady(redis_url: str, tmp_path: Path) -> None:
    import sys

    from manager.bench import flood

    command = [sys.executable, str(flood.__file__), redis_url, "flooded:1", "flooded", "64", "2000"]
    with redis.Redis.from_url(redis_url) as client:
        child = Child("flood", command, tmp_path / "log").start()
        try:
            wait_until(lambda: client.xlen("flooded:1") > 1_000, timeout_s=20, what="a flood")
            # a burst of at most 20 behind what is due, so one second holds about 2,000
            first, last = (client.xrange("flooded:1", count=1), client.xrevrange("flooded:1", count=1))
        finally:
            child.kill()
        seconds = (int(last[0][0].split(b"-")[0]) - int(first[0][0].split(b"-")[0])) / 1e3
        assert 0.3 < seconds < 3.0
        entry, fields = first[0]
        request = parse("flooded:1", entry, [part for pair in fields.items() for part in pair])
        assert request.modern
        assert vector(request.fields[b"descriptor"], 64, "generated").shape == (64,)
