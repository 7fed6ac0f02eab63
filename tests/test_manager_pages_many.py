"""The pages over ten thousand labels."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from manager_pages import World, shown
from published import bucket, publish_index, unit_rows

from pipeline.artifact import index_prefix, read_manifest

LABELS = 10_000
MOST_S = 0.3


def many(folder: Path) -> None:
    """Heads and manifests in the folder's bucket; all are that of one index, whose files only it has."""
    store = bucket(folder / "bucket")
    publish_index(store, "one", "index", unit_rows(1, 20))
    manifest = json.loads(read_manifest(store, "one", "index").to_json())
    head = json.loads(store.read("catalog/one.json"))
    for number in range(LABELS):
        label = f"list-{number:05d}"
        for key, data in ((f"catalog/{label}.json", head), (index_prefix(label, "index") + "meta.json", manifest)):
            path = folder / "bucket" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(data | {"label": label}))


def seconds(world: World, path: str) -> float:
    began = time.perf_counter()
    assert world.visitor.get(path).status == 200
    return time.perf_counter() - began


@pytest.mark.drill
@pytest.mark.timeout(300)
def test_a_page_of_ten_thousand_labels_takes_no_longer(redis_url: str, tmp_path: Path) -> None:
    many(tmp_path)
    with shown(redis_url, tmp_path) as world:
        world.announce("matcher", {f"list-{number:05d}": "index" for number in range(5_000)})
        world.do(world.parts.shelf.refresh())
        assert world.parts.shelf.count() == LABELS + 1
        for path in ("/", "/labels", "/labels?page=150", "/labels?q=list-07"):
            seconds(world, path)  # what it shows is read then
            assert min(seconds(world, path) for _ in range(5)) <= MOST_S, path
        text = world.visitor.get("/labels?page=150").text
        assert "7,451 to 7,500 of 10,001" in text
        assert "5,000" in world.visitor.get("/").text, "labels that the matcher holds"
