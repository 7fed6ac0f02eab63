"""Publishing: one commit, one head per label, whatever the label and whoever else publishes."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from manifests import HEAD, manifest_of

from configs.settings import Storage
from pipeline.artifact import (
    MANIFEST,
    ArtifactExists,
    ArtifactMissing,
    FenceTooOld,
    Store,
    head_key,
    index_prefix,
    list_heads,
    move_head,
    open_store,
    publish,
    read_head,
    read_manifest,
)

LABELS = [
    "plain",
    "a/b",
    "люди",
    "人 脸",
    "..",
    ".",
    ".hidden",
    "a.json",
    "a%2Fb",
    "a/b.json",
    "catalog/",
    "?#&+[*]",
    "A",
]


@pytest.fixture
def store() -> Store:
    return open_store(f"memory://{uuid.uuid4().hex}")


def test_publish_commits_once(store: Store) -> None:
    manifest = manifest_of()
    with pytest.raises(ArtifactMissing, match="label 'people': nothing is published in memory://"):
        read_head(store, "people")
    assert publish(store, manifest) == read_head(store, "people")[0]
    assert read_manifest(store, "people", "one") == manifest
    with pytest.raises(ArtifactExists, match=r"meta\.json"):
        publish(store, replace(manifest, count=3))
    assert read_manifest(store, "people", "one") == manifest
    assert publish(store, manifest, written=True).previous == ()
    with pytest.raises(ArtifactMissing):
        read_manifest(store, "people", "two")


def test_previous_indexes_newest_first(store: Store) -> None:
    for number in range(20):
        publish(store, manifest_of(index_id=f"i{number}"))
    head = read_head(store, "people")[0]
    assert (head.index_id, head.previous) == ("i19", tuple(f"i{number}" for number in range(18, 2, -1)))
    back = move_head(store, "people", "i17")
    assert (back.index_id, back.previous[:3]) == ("i17", ("i19", "i18", "i16"))
    assert "i17" not in back.previous


def test_fence_of_an_old_leader_is_refused(store: Store) -> None:
    publish(store, manifest_of(index_id="new"), fence=5)
    for fence in (0, 4):
        with pytest.raises(FenceTooOld, match=f"'people': expected the fence 5 or newer, got {fence}"):
            publish(store, manifest_of(index_id=f"old{fence}"), fence=fence)
    head = read_head(store, "people")[0]
    assert (head.index_id, head.previous, head.fences) == ("new", (), {"build": 5})
    assert publish(store, manifest_of(index_id="same"), fence=5).fences == {"build": 5}
    assert publish(store, manifest_of(index_id="newer"), fence=6).fences == {"build": 6}


def test_a_move_keeps_what_others_wrote(store: Store) -> None:
    head = replace(HEAD, fences={"build": 3, "delta": 7})
    store.write(head_key("people"), head.to_json())
    moved = move_head(store, "people", "two", fence=4)
    assert moved == replace(head, index_id="two", previous=("one", "zero"), fences={"build": 4, "delta": 7})


def test_eight_publish_at_once(store: Store) -> None:
    names = [f"i{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: publish(store, manifest_of(index_id=name)), names))
    head = read_head(store, "people")[0]
    assert sorted([head.index_id, *head.previous]) == names


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_any_label(kind: str, store: Store, tmp_path: Path) -> None:
    store = store if kind == "memory" else open_store(str(tmp_path / "bucket"))
    for label in LABELS:
        publish(store, manifest_of(label, index_id="v 1/2"))
    assert sorted(list_heads(store)) == sorted(LABELS)
    for label in LABELS:
        head, etag = read_head(store, label)
        assert (head.label, list_heads(store)[label]) == (label, etag)
        assert read_manifest(store, label, head.index_id).label == label
        assert index_prefix(label, head.index_id).count("/") == 3
        assert store.keys(index_prefix(label, head.index_id)) == [index_prefix(label, head.index_id) + MANIFEST]


@pytest.mark.parametrize("kind", ["memory", "folder", "s3"])
def test_listing_shows_a_change_of_equal_size(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    place, storage = f"memory://{uuid.uuid4().hex}", Storage()
    if kind == "folder":
        place = str(tmp_path)
    if kind == "s3":
        server = request.getfixturevalue("s3_server")
        place, storage = f"s3://{server.bucket}/{uuid.uuid4().hex}", Storage(endpoint_url=server.endpoint)
    store = open_store(place, storage)
    etags = set()
    for turn in range(10):
        store.write(head_key("a"), replace(HEAD, index_id=f"i{turn}").to_json())
        etags.add(list_heads(store)["a"])
    assert len(etags) == 10
    assert len({entry.nbytes for entry in store.entries().values()}) == 1
