"""What lies in the bucket, as pages see it: versions, who holds them, what is wrong; rolled, removed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from announcements import announce, gone, holding
from manifests import manifest_of
from published import bucket, publish_index, unit_rows

from configs.settings import Storage
from manager.connecting import connect
from manager.embedded.seaweed import S3
from manager.errors import InUse, NoSuchIndex, NoSuchLabel, Unavailable, Unreadable
from manager.matchers import Matchers
from manager.shelf.shelf import Shelf
from pipeline.artifact import MANIFEST, Store, head_key, index_prefix, open_store, publish, read_head


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return bucket(tmp_path / "bucket")


@pytest.fixture
async def shelf(store: Store, redis_url: str) -> AsyncIterator[Shelf]:
    client = connect(redis_url, text=False, tries=0)
    yield Shelf(store, Matchers(client), 0.1)
    await client.aclose()


def versions(store: Store, label: str, *ids: str, rows: int = 5) -> None:
    """Published one after the other, the last one serves."""
    for day, index_id in enumerate(ids, 1):
        publish_index(
            store, label, index_id, unit_rows(day, rows, 16), created=f"2026-02-{day:02d}T00:00:00+00:00",
            quality={"recall_at_10": 0.97, "added_fnir": 0.0002, "added_fnir_bound": 0.0007, "target": 0.001, "resolvable": True},
        )  # fmt: skip


async def test_a_label_is_shown_with_its_versions_and_who_holds_them(
    store: Store, shelf: Shelf, redis_url: str
) -> None:
    versions(store, "people", "a", "b", "c")
    announce(redis_url, "m1", holding("people", "c"), holding("people", "b", retired=True))
    announce(redis_url, "m2", holding("people", "b"), figures={"loading": [["people", "c", 0]]})
    with redis.Redis.from_url(redis_url) as client:
        client.set("lim:serving:people", "b")
    await shelf.refresh()
    view = await shelf.label("people")
    assert (view.index_id, view.previous, view.asked_index_id) == ("c", ("b", "a"), "b")
    assert [(one.index_id, one.serves, one.previous, one.asked) for one in view.versions] == [
        ("c", True, False, False), ("b", False, True, True), ("a", False, False, False),
    ]  # fmt: skip
    newest, before, oldest = view.versions
    assert (newest.held_by, newest.loading_by) == ({"m1": (0,)}, {"m2": (0,)})
    assert (before.held_by, oldest.held_by, oldest.missing_shards) == ({"m1": (0,), "m2": (0,)}, {}, (0,))
    figures = newest.figures
    assert figures is not None
    assert (figures.rows, figures.recipe, figures.recall_at_10, figures.added_fnir_bound) == (5, "exact", 0.97, 0.0007)
    assert figures.nbytes == sum(store.size(key) for key in store.keys(index_prefix("people", "c") + "shards/"))
    assert view.alarms == ()


async def test_a_label_is_shown_as_it_is_whatever_the_last_look_saw(store: Store, shelf: Shelf) -> None:
    versions(store, "people", "a")
    await shelf.refresh()
    versions(store, "people", "b")
    view = await shelf.label("people")
    assert (view.index_id, view.previous) == ("b", ("a",))
    store.delete(head_key("people"))
    with pytest.raises(NoSuchLabel):
        await shelf.label("people")


async def test_figures_are_those_of_the_point_that_serves(store: Store, shelf: Shelf) -> None:
    point = {"nprobe": 4, "rerank": 32}
    speeds = [{"batch": 1, "qps": 900.0, "p50_ms": 1.1}, {"batch": 256, "qps": 5000.0, "p50_ms": 51.0}]
    points = (
        {**point, "name": "other", "rejected": "too slow", "speeds": [], "cost_us": 7.0},
        {**point, "name": "cells", "rejected": "", "speeds": speeds, "cost_us": 210.0},
    )
    publish(store, replace(manifest_of(), points=points, forced=True))
    await shelf.refresh()
    (row,) = await shelf.labels()
    assert row.index is not None
    figures = row.index.figures
    assert figures is not None
    assert (figures.latency_ms, figures.requests_per_s, figures.cost_us, figures.forced) == (1.1, 5000.0, 210.0, True)
    assert (figures.nprobe, figures.rerank, figures.descriptor_version, figures.resolvable) == (4, 32, "59", None)


async def test_labels_come_in_pages_by_prefix(store: Store, shelf: Shelf) -> None:
    names = ["a/1", "a:2", "b", "ä", "z…"]
    for name in names:
        versions(store, name, "x")
    await shelf.refresh()
    assert [row.label for row in await shelf.labels()] == sorted(names)
    assert [row.label for row in await shelf.labels("a", 1, 5)] == ["a:2"]
    assert (shelf.count(), shelf.count("a"), shelf.count("b"), shelf.count("c")) == (5, 2, 1, 0)
    assert [one.label for one in await shelf.indexes("", 1, 3)] == sorted(names)[1:4]


async def test_only_heads_that_changed_are_read_again(
    store: Store, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        versions(store, name, "x")
    await shelf.refresh()
    await shelf.labels()
    read: list[str] = []
    entry = type(store).read_entry
    monkeypatch.setattr(type(store), "read_entry", lambda self, key: read.append(key) or entry(self, key))
    await shelf.refresh()
    await shelf.labels()
    assert read == []
    versions(store, "two", "y")
    read.clear()
    await shelf.refresh()
    assert read == [head_key("two")]
    assert [row.index.index_id for row in await shelf.labels() if row.index] == ["x", "x", "y"]
    store.delete(head_key("one"))
    await shelf.refresh()
    assert shelf.count() == 2
    with pytest.raises(NoSuchLabel):
        await shelf.label("one")


async def test_an_index_is_found_by_its_id(store: Store, shelf: Shelf) -> None:
    versions(store, "people", "a", "b")
    await shelf.refresh()
    assert (await shelf.index("a")).label == "people"
    with pytest.raises(NoSuchIndex, match="there is no such index in the bucket"):
        await shelf.index("c")
    publish_index(store, "people", "c", unit_rows(1, 5, 16))  # not looked at yet
    assert (await shelf.index("c", "people")).figures is not None


async def test_a_label_is_rolled_back_and_forward(store: Store, shelf: Shelf) -> None:
    versions(store, "people", "a", "b")
    await shelf.refresh()
    back = await shelf.roll("people", "a")
    assert (back.index_id, back.previous) == ("a", ("b",))
    assert [row.index.index_id for row in await shelf.labels() if row.index] == ["a"]
    assert read_head(store, "people")[0].index_id == "a"
    assert (await shelf.roll("people", "b")).index_id == "b"
    with pytest.raises(NoSuchIndex, match="expected an index with its manifest"):
        await shelf.roll("people", "c")
    with pytest.raises(NoSuchLabel):
        await shelf.roll("nobody", "a")
    assert read_head(store, "people")[0].index_id == "b"


async def test_a_roll_to_what_a_matcher_cannot_read_is_refused(store: Store, shelf: Shelf, redis_url: str) -> None:
    versions(store, "people", "a")
    shard = manifest_of().shards[0]
    publish(store, replace(manifest_of("people", "b"), format=2, shards=(shard, shard)))
    versions(store, "people", "c")
    await shelf.refresh()
    announce(redis_url, "older", holding("people", "c"), format_=1)
    announce(redis_url, "newer", holding("people", "c"))
    with pytest.raises(Unreadable, match=r"is of format 2, which older \(up to format 1\) cannot read: update"):
        await shelf.roll("people", "b")
    assert (await shelf.roll("people", "a")).index_id == "a"
    gone(redis_url, "older")
    assert (await shelf.roll("people", "b")).index_id == "b"


async def test_what_serves_or_is_held_is_not_removed(store: Store, shelf: Shelf, redis_url: str) -> None:
    versions(store, "people", "a", "b", "c", "d")
    await shelf.refresh()
    announce(redis_url, "m1", holding("people", "b", retired=True), figures={"loading": [["people", "c", 0]]})
    with pytest.raises(InUse, match="it serves"):
        await shelf.delete("people", "d")
    for index_id in ("b", "c"):
        with pytest.raises(InUse, match="still held or being loaded by m1"):
            await shelf.delete("people", index_id)
    with pytest.raises(NoSuchIndex):
        await shelf.delete("people", "e")
    await shelf.delete("people", "a")
    assert store.keys(index_prefix("people", "a")) == []
    assert [one.index_id for one in (await shelf.label("people")).versions] == ["d", "c", "b"]
    with pytest.raises(NoSuchIndex):
        await shelf.index("a")


async def test_alarms_say_what_is_wrong(store: Store, shelf: Shelf, redis_url: str) -> None:
    for name in ("lost", "unheld"):
        versions(store, name, "x")
    publish(store, replace(manifest_of("fine", "x"), format=2, shards=manifest_of().shards * 3))
    store.delete(index_prefix("lost", "x") + MANIFEST)
    await shelf.refresh()
    assert [one.kind for one in await shelf.alarms()] == ["no_matcher"]
    shards = [holding("fine", "x", shard, 3) for shard in (0, 2)]
    failed = [["unheld", "x", 26307, "no memory"]]
    polled = {"polled": time.time() - 100, "poll_s": 2.0, "failed": failed, "failures": 1, "drifting": ["fine"]}
    announce(redis_url, "m1", *shards, figures=polled)
    shelf.matchers._looked = 0.0
    found = {(one.kind, one.label, one.matcher_id) for one in await shelf.alarms()}
    assert found == {
        ("not_polling", "", "m1"), ("not_loaded", "unheld", "m1"), ("drift", "fine", "m1"), ("missing_shards", "fine", ""),
        ("missing_index", "lost", ""), ("unserved", "lost", ""), ("unserved", "unheld", ""),
    }  # fmt: skip
    assert len(await shelf.alarms(2)) == 2


async def test_a_head_that_cannot_be_read_is_shown_as_such(store: Store, shelf: Shelf) -> None:
    versions(store, "people", "x")
    store.write(head_key("odd"), b"{}")
    await shelf.refresh()
    odd, people = await shelf.labels()
    assert (odd.index, [one.kind for one in odd.alarms], people.alarms) == (None, ["unreadable"], ())
    assert [one.kind for one in await shelf.alarms()] == ["no_matcher", "unreadable"]


async def test_on_a_real_s3_server_it_is_the_same(s3_url: str, s3_server: S3, redis_url: str) -> None:
    store = open_store(s3_url, Storage(endpoint_url=s3_server.endpoint))
    versions(store, "people", "a", "b")
    client = connect(redis_url, text=False)
    shelf = Shelf(store, Matchers(client), 0.1)
    await shelf.refresh()
    assert (await shelf.roll("people", "a")).index_id == "a"
    await shelf.delete("people", "b")
    await shelf.refresh()
    view = await shelf.label("people")
    assert ([one.index_id for one in view.versions], view.etag) == (["a"], read_head(store, "people")[1])
    await client.aclose()


async def test_what_does_not_answer_is_said(tmp_path: Path) -> None:
    store = open_store("s3://nowhere/x", Storage(endpoint_url="http://127.0.0.1:9"))
    client = connect("redis://127.0.0.1:9", text=False, tries=0)
    shelf = Shelf(store, Matchers(client), 0.1)
    with pytest.raises(Unavailable, match="s3://nowhere/x"):
        await shelf.refresh()
    assert shelf.unreachable
    with pytest.raises(Unavailable, match="Redis at 127"):
        await shelf.matchers.look()
    await client.aclose()
