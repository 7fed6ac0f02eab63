"""The engines of `lim bench peers` one by one: each finds what exact search finds, in a process of its own."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from manager.bench.peers.autofaiss import index_key
from manager.bench.peers.engine import Site, Unavailable
from manager.bench.peers.engines import ENGINES
from manager.bench.peers.hosting import EngineFailed, Host, TookTooLong
from manager.bench.peers.plot import NoPicture, save

ROWS, DIM, K = 2_000, 32, 10


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A gallery of 2,000 random rows whose first 200 are the probes, in a folder that Postgres' own user may enter."""
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        Path(folder).chmod(0o711)
        rows = np.random.default_rng(1).standard_normal((ROWS, DIM)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        np.save(Path(folder, "gallery.npy"), rows.astype(np.float16))
        np.save(Path(folder, "queries.npy"), rows[:200])
        yield Site("", folder, os.cpu_count() or 1, "")


def started(name: str, site: Site) -> Host:
    home = Path(site.data, name)
    home.mkdir(exist_ok=True)
    return Host(name, Site(str(home), site.data, site.threads, ""), Path(site.data, f"{name}.log"))


@pytest.mark.drill
@pytest.mark.parametrize("name", [name for name in ENGINES if name not in ("ours", "scan", "cells")])
def test_what_is_built_in_one_process_is_searched_in_another(name: str, site: Site) -> None:
    host = started(name, site)
    try:
        host.ask("recipe", 60)
        assert host.ask("build", 120)["build_s"] >= 0
    except Unavailable as error:
        pytest.skip(str(error))
    finally:
        host.close()
    host, out = started(name, site), Path(site.data, "out.npz")
    try:
        points = host.ask("open", 60)["points"]
        host.ask("answer", 60, point=points[-1], part=[0, 200], depth=K, out=str(out))
        assert host.ask("pace", 60, point=points[0], depth=K, seconds=0.05)["qps"] > 0
        assert host.ask("memory", 60)["anonymous"] < 4 << 30
    finally:
        host.close()
    with np.load(out) as found:
        near, numbers = found["similarities"], found["numbers"]
    queries = np.load(Path(site.data, "queries.npy"))
    exact = queries @ np.load(Path(site.data, "gallery.npy")).astype(np.float32).T
    best = np.argsort(-exact, axis=1)[:, :K]
    recall = np.mean(
        [len(set(ours) & set(theirs)) for ours, theirs in zip(best.tolist(), numbers.tolist(), strict=True)]
    )
    assert recall / K > 0.95
    assert (np.diff(near, axis=1) <= 1e-6).all()
    assert np.abs(near - np.take_along_axis(exact, numbers, axis=1)).max() < 2e-3


def test_the_rule_of_autofaiss() -> None:
    """What `autofaiss.external.optimize.get_optimal_index_keys_v2` of version 2.18 answered, at 160 bytes a vector."""
    said = {
        (500, 512): "Flat", (5_000, 512): "HNSW15", (100_000, 512): "OPQ128_640,IVF1024_HNSW32,PQ128x8",
        (500_000, 512): "OPQ128_640,IVF2048_HNSW32,PQ128x8", (50_000, 128): "OPQ64_192,IVF1024_HNSW32,PQ64x8",
        (100_000, 50): "OPQ48_96,IVF1024_HNSW32,PQ48x8",
    }  # fmt: skip
    assert {asked: index_key(*asked) for asked in said} == said


def test_a_process_that_fails_says_so(site: Site) -> None:
    """What raises in it is said; what takes too long is given up; killed, it answers nothing more."""
    host = started("flat", site)
    try:
        with pytest.raises(EngineFailed, match="TypeError"):
            host.ask("pace", 30, point={"unknown": 1}, depth=K, seconds="soon")
        host.ask("open", 30)
        with pytest.raises(TookTooLong, match="flat: expected to pace within 0 s"):
            host.ask("pace", 0.2, point={"batch": 64}, depth=K, seconds=20)
    finally:
        host.kill()
    with pytest.raises((EngineFailed, OSError)):
        host.ask("open", 5)


def test_a_picture_of_another_ending_is_refused(tmp_path: Path) -> None:
    entry = {
        "regime": "tree", "engine": "exact", "rows": 10, "qps": 10.0, "added_fnir": 0.0, "recall_at_10": 1.0,
        "point": {}, "chosen": True,
    }  # fmt: skip
    with pytest.raises(NoPicture, match=r"ends in \.html or \.png"):
        save([entry], 0.001, tmp_path / "picture.gif")
    save([entry], 0.001, tmp_path / "picture.html")
    assert json.dumps("exact") in (tmp_path / "picture.html").read_text()
