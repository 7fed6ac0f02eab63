"""Edges of the format: names that would be misread, heads of somebody else, a head that never stands still."""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifests import HEAD, manifest_of

from pipeline.artifact import (
    ArtifactChanged,
    ArtifactCorrupt,
    ArtifactError,
    Ids,
    Store,
    head_key,
    index_prefix,
    list_heads,
    open_store,
    publish,
    quoted,
    read_head,
    read_manifest,
)


@pytest.fixture
def store() -> Store:
    return open_store(f"memory://{uuid.uuid4().hex}")


@pytest.mark.parametrize(
    ("array", "kind", "names"),
    [
        (np.array([1, 2], np.int32), "int", [1, 2]),
        (np.array([1, 2], np.uint64), "int", [1, 2]),
        (np.array([2**63 + 1, 5], np.uint64), "str", [str(2**63 + 1), "5"]),
        (np.array([1.5, 2.0]), "str", ["1.5", "2.0"]),
        (np.array(["7", "b"]), "str", ["7", "b"]),
        (np.array([UUID(int=3)], object), "uuid", [str(UUID(int=3))]),
    ],
)
def test_arrays_keep_their_values(array: np.ndarray[Any, Any], kind: str, names: list[str | int]) -> None:
    ids = Ids.open(Ids.encode(array))
    assert (ids.kind, list(ids)) == (kind, names)


@pytest.mark.parametrize("names", [[7, 8], [UUID(int=7), UUID(int=8)], ["a", "b"]])
@pytest.mark.parametrize("numbers", [[-1], [0, 2], [0, -2, 1]])
def test_no_name_is_taken_from_the_other_end(names: list[int | UUID | str], numbers: list[int]) -> None:
    """A search answers -1 where it found nothing: that must never be read as the last row."""
    for rows in (numbers, np.array(numbers)):
        with pytest.raises(IndexError, match="expected 0 to 1, got"):
            Ids.of(names).take(rows)
    assert Ids.of(names).take(np.empty(0, np.int64)) == []


@given(
    st.lists(st.text(alphabet="ab\u00e9\U0001f600", max_size=3), max_size=30), st.text(alphabet="ab\u00e9", max_size=3)
)
def test_find_text(names: list[str], wanted: str) -> None:
    ids = Ids.open(Ids.encode(names))
    assert ids.find(wanted) == (names.index(wanted) if wanted in names else None)


def test_find_text_that_cannot_be_written() -> None:
    assert Ids.of(["a", "?"]).find("\ud800x") is None
    assert Ids.of(["1"]).find(1) is None


def test_find_is_fast_enough_for_a_question_by_hand() -> None:
    ids = Ids.of([f"p{number:09d}" for number in range(200_000)])
    began = time.process_time()
    assert ids.find("p000199999") == 199_999
    assert time.process_time() - began < 0.1


def test_small_files_of_names_stay_closed(tmp_path: Path) -> None:
    """A matcher with a thousand small labels ran into the limit of open files, 1,024 on many systems."""
    (tmp_path / "small").write_bytes(Ids.encode(list(range(1000))))
    (tmp_path / "large").write_bytes(Ids.encode(list(range(100_000))))
    before = len(os.listdir("/proc/self/fd"))
    small = [Ids.open(tmp_path / "small") for _ in range(50)]
    assert len(os.listdir("/proc/self/fd")) == before
    large = Ids.open(tmp_path / "large")
    assert len(os.listdir("/proc/self/fd")) == before + 1
    assert [ids[999] for ids in (*small, large)] == [999] * 51


def test_an_empty_label_is_refused(store: Store) -> None:
    for call in (lambda: quoted(""), lambda: head_key(""), lambda: publish(store, manifest_of(label=""))):
        with pytest.raises(ArtifactError, match="label or index id: expected at least one letter"):
            call()
    assert store.keys() == []


def test_only_heads_are_listed(store: Store) -> None:
    """A head of one descriptor version, of a later format, is none that this version could read."""
    publish(store, manifest_of("a b@1"))
    others = ("people@62.json", "a b@1.json", ".json", "notes.txt", "sub/x.json", "%zz.json", "a%2fb.json")
    for name in others:
        store.write(f"catalog/{name}", HEAD.to_json())
    assert list(list_heads(store)) == ["a b@1"]


def test_a_head_or_manifest_of_another_label(store: Store, tmp_path: Path) -> None:
    manifest = manifest_of()
    store.write(head_key("others"), HEAD.to_json())
    with pytest.raises(
        ArtifactCorrupt, match=r"others\.json: expected the head of label 'others', got that of 'people'"
    ):
        read_head(store, "others")
    for label, index_id in (("others", "one"), ("people", "two")):
        store.write(index_prefix(label, index_id) + "meta.json", manifest.to_json())
        with pytest.raises(ArtifactCorrupt, match=f"manifest of '{label}' {index_id}, got that of 'people' one"):
            read_manifest(store, label, index_id)


def test_a_head_that_never_stands_still_is_given_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = store.replace
    turns = iter(range(10_000))

    def overtaken(key: str, data: bytes, etag: str | None) -> str:
        store.write(key, replace(HEAD, index_id=f"i{next(turns)}", fences={}).to_json())
        return replaced(key, data, etag)

    monkeypatch.setattr(store, "replace", overtaken)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(ArtifactChanged, match="'people': its head changed before each of 50 tries"):
        publish(store, manifest_of(index_id="two"))
    assert read_head(store, "people")[0].index_id == "i49"
    assert read_manifest(store, "people", "two").index_id == "two"
