"""Fences: unique, growing, in every bucket; a stale one moves nothing."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from manifests import HEAD, manifest_of

from configs.settings import Storage
from manager.embedded.seaweed import S3
from pipeline.artifact import (
    BUILD,
    FenceTooOld,
    Store,
    check_fence,
    fences,
    give_fence_back,
    head_key,
    move_head,
    newest_fence,
    open_store,
    publish,
    read_head,
    take_fence,
)


@pytest.fixture
def store() -> Store:
    return open_store(f"memory://{uuid.uuid4().hex}")


def test_tokens_grow_whatever_the_counter_says(store: Store) -> None:
    assert newest_fence(store, BUILD) == 0
    assert [take_fence(store, BUILD), take_fence(store, BUILD, 1), take_fence(store, BUILD, 9)] == [1, 2, 10]
    assert take_fence(store, BUILD, 0, owner="http://one") == 11  # Redis has forgotten
    assert store.read("fences/build/11") == b"http://one"
    assert take_fence(store, "delta") == 1
    store.write("fences/build/notes.txt", b"")
    store.write("fences/build/\u0663", b"")  # a digit to str.isdigit, but none of ours
    assert newest_fence(store, BUILD) == 11
    give_fence_back(store, BUILD, 11)
    assert take_fence(store, BUILD) == 11


def test_only_the_last_few_stay(store: Store) -> None:
    assert [take_fence(store, BUILD) for _ in range(40)] == list(range(1, 41))
    assert fences.taken(store, BUILD) == list(range(25, 41))


@pytest.mark.parametrize("kind", ["memory", "folder", "s3"])
def test_no_two_get_the_same(kind: str, store: Store, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if kind == "folder":
        store = open_store(str(tmp_path))
    if kind == "s3":
        server: S3 = request.getfixturevalue("s3_server")
        store = open_store(request.getfixturevalue("s3_url"), Storage(endpoint_url=server.endpoint))
    times = 4 if kind == "s3" else 18  # a real server takes its time over who was first
    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(lambda _: take_fence(store, BUILD), range(times)))
    assert len(set(got)) == times
    assert newest_fence(store, BUILD) == max(got)


def test_who_slept_between_looking_and_taking_gets_a_newer_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number it saw as free was taken, used, removed: under it nothing must be done again."""
    real = store.keys

    def asleep(prefix: str = "") -> list[str]:
        seen = real(prefix)
        monkeypatch.setattr(store, "keys", real)
        for _ in range(30):
            take_fence(store, BUILD)
        return seen

    monkeypatch.setattr(store, "keys", asleep)
    assert take_fence(store, BUILD) == 31
    assert fences.taken(store, BUILD)[0] > 1


def test_publishing_under_an_old_fence_leaves_nothing(store: Store) -> None:
    old, new = take_fence(store, BUILD), take_fence(store, BUILD)
    with pytest.raises(
        FenceTooOld, match="expected the newest fence of the role 'build', which is 2, got 1: another leader"
    ):
        publish(store, manifest_of(), fence=old)
    assert not [key for key in store.entries() if not key.startswith("fences/")]
    assert publish(store, manifest_of(), fence=new).fences == {"build": 2}
    check_fence(store, BUILD, new)


def test_a_persons_build_keeps_the_fence_that_stands(store: Store) -> None:
    """`lim build` and rolling back work after a manager has published, and the manager after them."""
    fence = take_fence(store, BUILD)
    publish(store, manifest_of(index_id="managed"), fence=fence)
    publish(store, manifest_of(index_id="mine"))
    assert move_head(store, "people", "managed").fences == {"build": fence}
    head = publish(store, manifest_of(index_id="managed-2"), fence=fence)
    assert (head.index_id, head.previous, head.fences) == ("managed-2", ("managed", "mine"), {"build": fence})
    assert publish(store, manifest_of("others", "first")).fences == {}


def test_a_leader_that_is_replaced_while_it_moves_a_head(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has read the head; then another takes over and publishes, then it replaces what it has read."""
    store.write(head_key("people"), replace(HEAD, fences={}).to_json())
    old = take_fence(store, BUILD)
    real = store.replace

    def late(key: str, data: bytes, etag: str | None) -> str:
        monkeypatch.setattr(store, "replace", real)
        move_head(store, "people", "two", fence=take_fence(store, BUILD))
        return real(key, data, etag)

    monkeypatch.setattr(store, "replace", late)
    with pytest.raises(FenceTooOld):
        move_head(store, "people", "late", fence=old)
    head = read_head(store, "people")[0]
    assert (head.index_id, head.fences) == ("two", {"build": 2})
