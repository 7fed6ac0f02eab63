"""Submissions: what they look at, what they cost, how many may come at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiobotocore.client import AioBaseClient

from configs.settings import Manager, Settings, Source, Storage
from manager.connecting import connect
from manager.embedded.seaweed import S3
from manager.errors import TaskExists, Unavailable
from manager.submitting import CannotBeRead, NothingThere, Submission, submit
from manager.tasks.tasks import Tasks
from pipeline.order import Order
from pipeline.sources.opening import open_source
from pipeline.sources.places import Place

ROWS = 1_000


@dataclass
class Parts:
    """What a submission needs."""

    settings: Settings
    tasks: Tasks


@pytest.fixture
async def parts(redis_url: str, tmp_path: Path) -> AsyncIterator[Parts]:
    redis = connect(redis_url)
    yield Parts(Settings(source=Source(template=str(tmp_path / "{label}.npy"))), Tasks(redis, Manager()))
    await redis.aclose()


def vectors(seed: int = 0, rows: int = ROWS) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=(rows, 16)).astype(np.float32)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Requests to S3 by name."""
    made: Counter[str] = Counter()
    original = AioBaseClient._make_api_call

    async def counted(self: Any, operation_name: str, api_params: Any) -> Any:
        made[operation_name] += 1
        return await original(self, operation_name, api_params)

    monkeypatch.setattr(AioBaseClient, "_make_api_call", counted)
    return made


def test_a_list_in_an_object_store_is_looked_at_in_three_requests(
    s3_server: S3, s3_url: str, tmp_path: Path, requests: Counter[str]
) -> None:
    """The head of a file, what lies beside it, its header; the fingerprint is that of a look at each."""
    storage = Storage(endpoint_url=s3_server.endpoint)
    np.save(tmp_path / "staff.npy", vectors())
    np.save(tmp_path / "staff.id.npy", np.arange(ROWS))
    columns = {
        Source().id_column: pa.array([str(row) for row in range(ROWS)]),
        Source().vector_column: pa.array(list(vectors())),
    }
    pq.write_table(pa.table(columns), tmp_path / "guests.parquet")
    fs, path = Place.of(s3_url, storage).open()
    for name in ("staff.npy", "staff.id.npy", "guests.parquet"):
        fs.put_file(str(tmp_path / name), f"{path}/{name}")
    for name, most in (("staff.npy", 4), ("guests.parquet", 3)):
        requests.clear()
        source = open_source(f"{s3_url}/{name}", Source(), Settings().images, storage)
        listing = source.listing()
        assert (listing.rows, listing.ids_kind) == (ROWS, "int" if name == "staff.npy" else "str")
        assert requests.total() <= most, requests
        (part,) = source.partitions(ROWS)
        assert len(source.read(part).ids) == ROWS  # whose tokens are looked at one by one
    fs.rm_file(f"{path}/staff.id.npy")
    listing = open_source(f"{s3_url}/staff.npy", Source(), Settings().images, storage).listing()
    assert listing.ids_kind == "row"


async def test_a_submission_costs_a_few_milliseconds(parts: Parts, tmp_path: Path) -> None:
    """The manager may spend 20 ms of a processor on a task: this is the share of its submission, from a local file."""
    count = 60
    for number in range(count + 1):
        np.save(tmp_path / f"list-{number}.npy", vectors(number))
    await submit(parts, Submission(label=f"list-{count}"))
    began = time.process_time()
    for number in range(count):
        task = await submit(parts, Submission(label=f"list-{number}"))
        assert task.rows == ROWS
    each_ms = (time.process_time() - began) / count * 1_000
    assert each_ms < 8, f"{each_ms:.1f} ms a submission"


async def test_many_at_once_with_duplicates(parts: Parts, tmp_path: Path) -> None:
    """Four clients submit the same lists at the same time: each is queued once, the others are told as what."""
    labels = [f"list-{number}" for number in range(40)]
    for number, label in enumerate(labels):
        np.save(tmp_path / f"{label}.npy", vectors(number, 10))

    async def client() -> list[str]:
        found = []
        for label in labels:
            try:
                found.append((await submit(parts, Submission(label=label))).task_id)
            except TaskExists as error:
                found.append(error.task_id)
        return found

    told = await asyncio.gather(*(client() for _ in range(4)))
    assert told[0] == told[1] == told[2] == told[3]
    assert len(set(told[0])) == len(labels)
    assert (await parts.tasks.counts())["pending"] == len(labels)


async def test_the_content_decides_what_is_the_same(parts: Parts, tmp_path: Path) -> None:
    np.save(tmp_path / "staff.npy", vectors())
    first = await submit(parts, Submission(label="staff"))
    spelled_out = Submission(label="staff", source=str(tmp_path / "staff.npy"))
    with pytest.raises(TaskExists):
        await submit(parts, spelled_out)
    other = await submit(parts, Submission(label="staff", options={"build.seed": "5"}))
    assert (other.fingerprint, other.content != first.content) == (first.fingerprint, True)
    np.save(tmp_path / "staff.npy", vectors(1))
    changed = await submit(parts, Submission(label="staff"))
    assert changed.fingerprint != first.fingerprint


async def test_sources_that_are_not_what_they_should_be(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "empty.npy", np.zeros((0, 16), np.float32))
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "fine.npy", vectors())
    for label, kind, said in (
        ("empty", NothingThere, "source: .* got 0 rows"), ("nowhere", NothingThere, "source: .* found nothing"),
        ("text", CannotBeRead, "source: .* expected an array in NumPy's format"),
    ):  # fmt: skip
        with pytest.raises(kind, match=said):
            await submit(parts, Submission(label=label))
    with pytest.raises(NothingThere, match=r"^probes: .*nowhere"):
        await submit(parts, Submission(label="fine", probes=str(tmp_path / "nowhere")))
    monkeypatch.setattr("manager.submitting.LOOK_S", 0.05)

    def slow(order: Order, settings: Settings) -> None:
        del order, settings
        done.wait(10)

    done = threading.Event()
    monkeypatch.setattr("manager.submitting.listed", slow)
    with pytest.raises(Unavailable, match=r"expected a listing of .* within 0.05 s, got none"):
        await submit(parts, Submission(label="fine"))
    done.set()
    assert (await parts.tasks.counts())["pending"] == 0
