"""Manifests and heads: what they refuse, and the digest of an index."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifests import HEAD, SHARD, manifest_of

from pipeline.artifact import FORMAT, ArtifactCorrupt, File, FormatTooNew, Head, Manifest, Memory, Point, content_digest


def test_manifest_and_head_return_from_json() -> None:
    for watermark in (None, "2026-01-01T00:00:00Z"):
        manifest = replace(manifest_of(), watermark=watermark)
        assert Manifest.from_json(manifest.to_json(), "key") == manifest
        assert Manifest.from_json(manifest.to_json(), "key").to_json() == manifest.to_json()
    assert Head.from_json(HEAD.to_json(), "key") == HEAD
    assert Head.from_json(b'{"label": "a", "index_id": "b"}', "key") == Head(label="a", index_id="b")


Edit = Callable[[dict[str, Any]], object]
MANIFEST_EDITS: dict[str, tuple[Edit, str]] = {
    "unknown": (lambda data: data.update(colour="red"), "key: expected only format, .*got 'colour' as well"),
    "unknown inside": (lambda data: data["descriptor"].update(sdk=1), "key: descriptor: expected only .*'sdk'"),
    "missing": (lambda data: data.pop("count"), "key: expected 'count', got nothing"),
    "missing inside": (lambda data: data["shards"][0].pop("rows"), r"key: shards\[0\]: expected 'rows'"),
    "text for int": (lambda data: data.update(count="2"), "key: count: expected int, got str '2'"),
    "bool for int": (lambda data: data.update(seed=True), "key: seed: expected int, got bool True"),
    "int for bool": (lambda data: data.update(forced=0), "key: forced: expected bool, got int 0"),
    "float for int": (lambda data: data.update(delta_seq=1.0), "key: delta_seq: expected int, got float"),
    "null": (lambda data: data.update(label=None), "key: label: expected str, got NoneType"),
    "int for text or null": (lambda data: data.update(watermark=5), "key: watermark: expected .*got int 5"),
    "text for list": (lambda data: data.update(shards="all"), "key: shards: expected tuple.*got str"),
    "list for object": (lambda data: data.update(point=[4, 32]), "key: point: expected an object, got list"),
    "object for list": (lambda data: data["shards"][0].update(files={}), r"key: shards\[0\]: files: expected"),
    "wrong in a dict": (lambda data: data["versions"].update(faiss=1), r"key: versions\.faiss: expected str, got int"),
    "wrong in a file": (
        lambda data: data["shards"][0]["files"][1].update(nbytes="3"),
        r"key: shards\[0\]: files\[1\]: nbytes: expected int",
    ),
    "format of another type": (lambda data: data.update(format="2"), "key: format: expected int, got str"),
}
HEAD_EDITS: dict[str, tuple[Edit, str]] = {
    "unknown": (lambda data: data.update(colour="red"), "'colour'"),
    "missing": (lambda data: data.pop("index_id"), "expected 'index_id'"),
    "fence": (lambda data: data["fences"].update(build="3"), r"fences\.build: expected int"),
    "previous": (lambda data: data.update(previous="zero"), "previous: expected"),
    "segment": (lambda data: data["segments"][0].pop("sha256"), r"segments\[0\]: expected 'sha256'"),
}


@pytest.mark.parametrize("name", MANIFEST_EDITS)
def test_manifest_is_strict(name: str) -> None:
    edit, message = MANIFEST_EDITS[name]
    data = json.loads(manifest_of().to_json())
    edit(data)
    with pytest.raises(ArtifactCorrupt, match=message):
        Manifest.from_json(json.dumps(data).encode(), "key")


@pytest.mark.parametrize("name", HEAD_EDITS)
def test_head_is_strict(name: str) -> None:
    edit, message = HEAD_EDITS[name]
    data = json.loads(HEAD.to_json())
    edit(data)
    with pytest.raises(ArtifactCorrupt, match=message):
        Head.from_json(json.dumps(data).encode(), "key")


@pytest.mark.parametrize("kind", [Manifest, Head])
@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe\x00", b"[]", b"null", b'"text"', b"[" * 100_000])
def test_what_is_no_object_is_corrupt(kind: type[Manifest] | type[Head], data: bytes) -> None:
    with pytest.raises(ArtifactCorrupt, match="some/key: expected"):
        kind.from_json(data, "some/key")


@pytest.mark.parametrize(("good", "newest"), [(manifest_of(), FORMAT), (HEAD, 1)])
def test_a_newer_format_is_told_from_damage(good: Manifest | Head, newest: int) -> None:
    data = {**json.loads(good.to_json()), "format": newest + 1, "something": "new"}
    with pytest.raises(FormatTooNew, match=f"some/key: expected format {newest} or older, got {newest + 1}: update"):
        type(good).from_json(json.dumps(data).encode(), "some/key")


@given(st.binary(max_size=60))
def test_any_bytes_are_corrupt_or_too_new(data: bytes) -> None:
    with pytest.raises((ArtifactCorrupt, FormatTooNew)):
        Manifest.from_json(data)


def test_content_digest_is_stable_and_sees_everything() -> None:
    def digest(**changes: Any) -> str:
        good = {"recipe": "cells", "parameters": {"a": 1, "b": 2}, "point": Point(4, 32), "shards": (SHARD,)}
        return content_digest(**{**good, **changes})

    other = replace(SHARD, files=(*SHARD.files[:1], File.of("shards/0000/ids.dat", b"IDS")))
    changed = [
        digest(recipe="scan"), digest(parameters={"a": 1, "b": 3}), digest(point=Point(4, 33)), digest(shards=(other,)),
        digest(shards=(SHARD, SHARD)),
    ]  # fmt: skip
    assert len({digest(), *changed}) == len(changed) + 1
    assert digest(parameters={"b": 2, "a": 1}) == digest()
    assert digest(shards=(replace(SHARD, memory=Memory(anonymous=9, mapped=9)),)) == digest()
    # from an earlier version: a digest that moves would make every published index another one
    assert digest() == "ed1195532f63c0ad1727078acd10f5f931904be86b48b5059dbacba4c485ddb5"
