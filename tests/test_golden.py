"""Indexes of every format that was ever published are read for ever: format 1 of one shard, format 2 of several."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifact import Cache, FormatTooNew, manifest, open_store, read_head, read_manifest, verify
from pipeline.search.opening import open_index

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("recipe", ["exact", "scan", "cells"])
def test_format_1_is_read_and_answers_as_it_did(recipe: str, tmp_path: Path) -> None:
    store = open_store(str(GOLDEN / "format1"))
    head, _ = read_head(store, recipe)
    manifest = read_manifest(store, recipe, head.index_id)
    assert manifest.format == 1
    folder = Cache(tmp_path, 1 << 30).fetch(store, manifest)
    verify(folder, manifest.shards[0].files)
    known = json.loads((GOLDEN / "format1.json").read_text())
    index = open_index(folder, manifest)
    similarities, numbers = index.search(np.array(known["queries"], np.float32), 3)
    expected = known["answers"][recipe]
    assert [index.ids.take(row) for row in numbers] == expected["ids"]
    assert np.allclose(similarities, expected["similarities"], atol=2e-3)
    assert index.people is not None
    assert index.people[int(numbers[0, 0])] == expected["person"]
    index.close()


@pytest.mark.parametrize(("recipe", "shards"), [("exact", 3), ("scan", 2)])
def test_format_2_is_read_and_answers_as_it_did(recipe: str, shards: int, tmp_path: Path) -> None:
    store, cache = open_store(str(GOLDEN / "format2")), Cache(tmp_path, 1 << 30)
    found = read_manifest(store, recipe, read_head(store, recipe)[0].index_id)
    assert (found.format, len(found.shards), sum(one.rows for one in found.shards)) == (2, shards, found.count)
    known = json.loads((GOLDEN / "format2.json").read_text())
    queries, expected = np.array(known["queries"], np.float32), known["answers"][recipe]
    answers: list[list[tuple[float, str, str]]] = [[] for _ in queries]
    for shard, its in enumerate(found.shards):
        folder = cache.fetch(store, found, shard)
        verify(folder, its.files)
        index = open_index(folder, found, shard)
        assert index.people is not None
        for query, (similarities, numbers) in enumerate(zip(*index.search(queries, 3), strict=True)):
            names = index.ids.take(numbers), index.people.take(numbers)
            answers[query] += zip(similarities.tolist(), *names, strict=True)  # type: ignore[arg-type]
        index.close()
    best = [sorted(one, reverse=True)[:3] for one in answers]
    assert [[name for _, name, _ in one] for one in best] == expected["ids"]
    assert np.allclose([[similarity for similarity, _, _ in one] for one in best], expected["similarities"], atol=2e-3)
    assert best[0][0][2] == expected["person"]


def test_an_older_reader_refuses_format_2(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(GOLDEN / "format2"))
    index_id = read_head(store, "scan")[0].index_id  # the head is as it was
    monkeypatch.setattr(manifest, "FORMAT", 1)
    with pytest.raises(FormatTooNew, match="expected format 1 or older, got 2: update this installation"):
        read_manifest(store, "scan", index_id)
