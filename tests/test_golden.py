"""Indexes of every format that was ever published are read for ever: format 1."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifact import Cache, open_store, read_head, read_manifest, verify
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
