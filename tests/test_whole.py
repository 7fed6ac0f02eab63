"""A short list built as one item: the same bytes as stage by stage, far fewer requests to the bucket."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.settings import Build, Quality, Settings, Storage
from pipeline.artifact import Store, index_prefix, open_store
from pipeline.build import Built, build
from pipeline.errors import IndexRefused
from pipeline.generate.faces import Generator
from pipeline.order import Order
from pipeline.progress import Lines
from pipeline.stage import serial

QUALITY = Quality(mated_probes=100, non_mates=50, added_fnir=0.03)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A list with two rows that are rejected."""
    rows = Generator("mixture", 3).chunk(0, 1_200)[0]
    rows[5] = 0
    path = tmp_path_factory.mktemp("lists") / "people.npy"
    np.save(path, rows)
    return str(path)


def built(source: str, bucket: Path, *, whole: bool, **fields: Any) -> Built:
    settings = replace(
        Settings(), storage=Storage(bucket=str(bucket)), quality=QUALITY, build=Build(**{"recipe": "scan", **fields})
    )
    return build(Order(source, "people", index_id="one", whole=whole), settings, lambda: serial, Lines())


@pytest.mark.parametrize("recipe", ["exact", "scan", "auto"])
def test_the_bytes_are_the_same(source: str, tmp_path: Path, recipe: str) -> None:
    one, other = (built(source, tmp_path / str(whole), whole=whole, recipe=recipe) for whole in (False, True))
    assert one.manifest.content_digest == other.manifest.content_digest
    assert one.manifest.shards == other.manifest.shards
    assert other.stages["whole"]["rows"] == one.manifest.count == 1_199
    stores = [open_store(str(tmp_path / str(whole))) for whole in (False, True)]
    home = index_prefix("people", "one")
    assert stores[0].keys() == stores[1].keys()
    for key in stores[0].keys(home + "shards/"):
        assert stores[0].read(key) == stores[1].read(key), key
    assert stores[0].read(home + "rejects.jsonl") == stores[1].read(home + "rejects.jsonl")
    reports = [json.loads(store.read(home + "report.json")) for store in stores]
    assert reports[0].keys() == reports[1].keys()
    assert reports[0]["stages"].keys() == reports[1]["stages"].keys()
    assert reports[0]["decision"]["name"] == reports[1]["decision"]["name"]


def test_a_refusal_leaves_its_report(source: str, tmp_path: Path) -> None:
    settings = replace(
        Settings(), storage=Storage(bucket=str(tmp_path)), quality=replace(QUALITY, recall=1.0),
        build=Build(recipe="scan", rerank="int8"),
    )  # fmt: skip
    with pytest.raises(IndexRefused, match="the report is at ") as raised:
        build(Order(source, "people", whole=True), settings, lambda: serial, Lines())
    report = str(raised.value).rpartition("the report is at ")[2]
    assert open_store(str(tmp_path)).read(report).startswith(b"<!")
    assert not open_store(str(tmp_path)).keys("catalog/")


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch, kind: type[Store]) -> Iterator[Counter[str]]:
    """Calls of a store's methods by name."""
    calls: Counter[str] = Counter()
    names = (
        "read",
        "read_range",
        "read_entry",
        "write",
        "write_from",
        "put",
        "create",
        "replace",
        "entries",
        "delete",
        "copy",
    )
    with monkeypatch.context() as patch:
        for name in names:
            patch.setattr(kind, name, counting(calls, name, getattr(kind, name)))
        yield calls


def counting(calls: Counter[str], name: str, was: Any) -> Any:
    """A method that counts its calls."""

    def call(self: Store, *args: Any, **more: Any) -> Any:
        calls[name] += 1
        return was(self, *args, **more)

    return call


def test_most_requests_to_the_bucket_are_spared(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(open_store(str(tmp_path)))
    totals = []
    for whole in (False, True):
        with counted(monkeypatch, kind) as calls:
            built(source, tmp_path / str(whole), whole=whole, recipe="exact")
        totals.append(sum(calls.values()))
    assert totals[1] < 45, totals
    assert totals[0] > 3 * totals[1], totals
