"""A build on GPUs, end to end, on stand-ins: threads of one process share them, and the same index comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pretend_gpu import NAME, pretended

from configs.settings import Build, Quality, Settings, Storage
from pipeline.artifact import open_store, read_manifest
from pipeline.build import Built, build
from pipeline.device.threads import pinned
from pipeline.generate.faces import Generator
from pipeline.order import Order
from pipeline.progress import Lines
from pipeline.search.on_gpu import OnGpu
from pipeline.search.opening import open_index
from pipeline.stage import Done, Item, Runner, Stage, run_one, serial
from pipeline.workspace import Work

ROWS = 2_000
QUALITY = Quality(mated_probes=300, non_mates=200, added_fnir=0.02, recall=0.0)


def in_threads(stage: Stage, work: Work, items: list[Item], report: Callable[[Done], None]) -> None:
    """Four items at a time in this process, as a Dask worker of four threads does them."""
    with ThreadPoolExecutor(4) as pool:
        for done in pool.map(lambda item: run_one(stage, work, item), items):
            report(done)


def built_on(gpus: int, bucket: Path, runner: Runner) -> Built:
    settings = Settings(
        storage=Storage(bucket=str(bucket)),
        build=Build(partition_rows=500, sample_rows=1_500, recipe="ivfpq", device="gpu", force=True),
        quality=QUALITY,
    )
    with pretended(gpus=gpus):
        return build(Order(str(bucket.parent / "rows.npz"), "list"), settings, lambda: runner, Lines())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    found = tmp_path_factory.mktemp("gpu")
    rows, _, _ = Generator("mixture", 3).chunk(0, ROWS)
    np.savez(found / "rows.npz", descriptors=rows, id=np.arange(ROWS))
    with pinned(1):
        yield found


def test_the_same_index_comes_out_of_one_gpu_and_of_three_with_four_threads(folder: Path) -> None:
    one = built_on(1, folder / "one", serial)
    three = built_on(3, folder / "three", in_threads)
    assert one.manifest.content_digest == three.manifest.content_digest
    assert one.manifest.versions["gpu"].startswith(NAME)
    assert one.manifest.recipe == "ivfpq"
    store = open_store(str(folder / "one"))
    manifest = read_manifest(store, "list", one.manifest.index_id)
    home = folder / "one" / "indexes" / "list" / manifest.index_id / "shards" / "0000"
    with pretended():
        index = open_index(home, manifest, device="gpu")
        assert isinstance(index, OnGpu)
        with np.load(folder / "rows.npz") as arrays:
            _, numbers = index.search(arrays["descriptors"][:50].astype(np.float32), 3)
        assert index.ids.take(numbers[:, 0]) == list(range(50))
        index.close()
