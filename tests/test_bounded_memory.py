"""Builds of lists larger than the memory of the workers: measured with real processes, mapped pages included."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pytest
from workers_memory import forget_peak, peak, watched

from configs.settings import Build, Dask, Quality, Settings, Storage
from pipeline.artifact import open_store, read_head, read_manifest
from pipeline.build import build
from pipeline.graph import cluster, on_dask
from pipeline.order import Order
from pipeline.progress import Lines
from pipeline.stage import Done, Item, Stage
from pipeline.workspace import Work

MIB = 1 << 20
MOST_SENT = 1 * MIB
"""Bytes of a task in the graph, and of a result that is gathered."""


def _ready() -> int:
    """Import all that a build imports; a process's identity."""
    import bokeh.embed
    import faiss

    import pipeline.stages

    assert bokeh.embed
    assert faiss
    assert pipeline.stages
    return os.getpid()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of every task that is submitted."""
    sizes: list[int] = []
    submit = distributed.Client.submit

    def counting(self: distributed.Client, function: Any, *arguments: Any, **options: Any) -> Any:
        sizes.append(len(pickle.dumps((function, arguments))))
        return submit(self, function, *arguments, **options)

    monkeypatch.setattr(distributed.Client, "submit", counting)
    return sizes


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Path]:
    """60,000 rows of 512 dimensions, of which 64 count, with names: 59 MiB as half floats, 117 MiB as float32."""
    rows = np.lib.format.open_memmap(tmp_path / "rows.npy", "w+", np.float16, (60_000, 512))
    random = np.random.default_rng(1)
    directions = random.standard_normal((64, 512), np.float32)
    for start in range(0, len(rows), 10_000):
        some = random.standard_normal((10_000, 64), np.float32) @ directions
        rows[start : start + 10_000] = some / np.linalg.norm(some, axis=1, keepdims=True)
    rows.flush()
    np.save(tmp_path / "rows.id.npy", np.array([f"{number:036d}" for number in range(60_000)], "S36"))
    np.save(tmp_path / "rows.person.npy", np.array([f"p{number // 2:019d}" for number in range(60_000)], "S20"))
    yield tmp_path / "rows.npy"
    (tmp_path / "rows.npy").unlink()


@pytest.mark.timeout(180)
def test_workers_take_a_partition_or_a_shard_whatever_the_list(many: Path, tmp_path: Path, sent: list[int]) -> None:
    """None grows by what the list takes as it is stored; what travels through the scheduler is small."""
    got: list[int] = []
    settings = Settings(
        storage=Storage(bucket=str(tmp_path / "bucket")), dask=Dask(workers=2),
        build=Build(partition_rows=4_000, sample_rows=8_192, recipe="scan", shard_bytes=640 << 10),
        quality=Quality(mated_probes=400, non_mates=200, added_fnir=0.01),
    )  # fmt: skip
    with cluster(settings.dask) as client:
        before = {}
        for pid in client.run(_ready).values():
            forget_peak(pid)
            before[pid] = peak(pid)
        sent.clear()
        run = on_dask(client, settings.dask)

        def counting(stage: Stage, work: Work, items: list[Item], report: Callable[[Done], None]) -> None:
            def weighed(done: Done) -> None:
                got.append(len(pickle.dumps(done)))
                report(done)

            run(stage, work, items, weighed)

        with watched(os.getpid()) as peaks:
            built = build(Order(str(many), "list"), settings, lambda: counting, Lines())
    assert len(built.manifest.shards) == 3
    assert set(before) <= set(peaks)
    growth = {pid: (peaks[pid] - before[pid]) // MIB for pid in before}
    assert max(growth.values()) <= 58, growth
    assert len(sent) >= len(got) > 60
    assert max(sent) <= MOST_SENT
    assert max(got) <= MOST_SENT


DRILL_ROWS = 4_200_000
LIMIT = 512 * MIB


@pytest.fixture
def huge(tmp_path: Path) -> Iterator[Path]:
    """4.2 million descriptors of 512 dimensions, 4.3 GB: four times what two workers may take together."""
    folder = tmp_path / "huge"
    folder.mkdir()
    command = [
        sys.executable,
        "-m",
        "configs.cli",
        "generate",
        "--rows",
        str(DRILL_ROWS),
        "--out",
        str(folder / "rows.npy"),
    ]
    subprocess.run(command, check=True)
    yield folder / "rows.npy"
    shutil.rmtree(tmp_path)


@pytest.mark.drill
@pytest.mark.timeout(3 * 3600)
def test_two_workers_of_512_mib_index_four_gigabytes(huge: Path, tmp_path: Path) -> None:
    """`lim build` with shards of at most 96 MiB: no worker ever takes more than its limit, none is killed."""
    environ = {
        **os.environ, "LIM_STORAGE__BUCKET": str(tmp_path / "bucket"), "LIM_DASK__SCHEDULER": "", "LIM_DASK__WORKERS": "2",
        "LIM_DASK__MEMORY_LIMIT": "512MiB", "LIM_BUILD__SHARD_BYTES": str(96 * MIB),
        # evaluation is not what is drilled: enough probes to prove a loss below .003
        "LIM_QUALITY__MATED_PROBES": "1500", "LIM_QUALITY__NON_MATES": "500", "LIM_QUALITY__ADDED_FNIR": "0.003",
    }  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "configs.cli",
        "build",
        str(huge),
        "--label",
        "huge",
        "--json",
        str(tmp_path / "figures"),
    ]
    with (
        subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as running,
        watched(running.pid) as peaks,
    ):
        _, said = running.communicate()
    assert running.returncode == 0, said[-2_000:]
    store = open_store(str(tmp_path / "bucket"))
    manifest = read_manifest(store, "huge", read_head(store, "huge")[0].index_id)
    assert sum(shard.rows for shard in manifest.shards) == manifest.count == DRILL_ROWS
    assert len(manifest.shards) > 1
    assert all(shard.memory.anonymous <= 96 * MIB for shard in manifest.shards)
    assert json.loads((tmp_path / "figures").read_text())["shards"] == len(manifest.shards)
    assert len(peaks) == 2, "a worker was killed and another came"
    assert max(peaks.values()) < LIMIT, {pid: nbytes // MIB for pid, nbytes in peaks.items()}
