"""What a matcher makes of what lies in the bucket, and what it shows to operators."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from answering import STREAM, World
from matchers import Wire, matchers
from published import bucket, publish_index, unit_rows
from waiting import wait_until

from configs.settings import Client
from matcher import keys
from matcher.client import MatchClient
from pipeline.artifact import FORMAT, head_key, index_prefix, move_head


def test_an_index_named_by_a_late_client_is_stale(world: World, wire: Wire) -> None:
    publish_index(world.store, "moving", "moving-1", unit_rows(20))
    wait_until(lambda: world.matcher.indexes().get("moving") == "moving-1", what="loading")
    second = publish_index(world.store, "moving", "moving-2", unit_rows(21))
    wait_until(lambda: wire.redis.get(keys.serving("moving")) == b"moving-2", what="the move")
    answer = wire.ask("moving:moving-1", second.rows[0])
    assert answer["index_id"] == "moving-1"  # it answers on for the clients' refresh
    assert all(name.startswith("moving-1-") for name, _ in answer["result"])
    retired = lambda: [one for one in world.matcher.page("/indexes")["indexes"] if one["retired"]]  # noqa: E731
    wait_until(lambda: not retired(), timeout_s=15, what="freeing the old index")
    error = wire.ask("moving:moving-1", second.rows[0])["error"]
    assert (error["error_code"], error["desc"]) == (26312, "stale")


async def test_the_client_repeats_a_stale_request_where_the_label_is_served(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "REFRESH_S", 3600.0)  # a client that stood still for too long
    publish_index(world.store, "repeat", "repeat-1", unit_rows(22))
    with redis.Redis.from_url(world.url) as server:  # announced, not only loaded
        wait_until(lambda: server.get(keys.serving("repeat")) == b"repeat-1", what="the announcement")
    async with MatchClient(world.url, Client(refresh_s=3600)) as client:  # it never looks by itself
        assert (await client.match("repeat", unit_rows(22)[0])).index_id == "repeat-1"
        publish_index(world.store, "repeat", "repeat-2", unit_rows(23))
        held = lambda: [one["index_id"] for one in world.matcher.page("/indexes")["indexes"]]  # noqa: E731
        await asyncio.to_thread(wait_until, lambda: "repeat-1" not in held(), timeout_s=15, what="freeing")
        answer = await client.match("repeat", unit_rows(23)[0])
    assert (answer.index_id, answer.candidates[0].id) == ("repeat-2", "repeat-2-0")


def test_a_corrupt_index_is_shown_and_the_older_one_keeps_serving(world: World, wire: Wire) -> None:
    old = publish_index(world.store, "corrupt", "good-1", unit_rows(30))
    wait_until(lambda: world.matcher.indexes().get("corrupt") == "good-1", what="loading")
    bad = publish_index(world.store, "other-corrupt", "bad-1", unit_rows(31))
    key = index_prefix("corrupt", "bad-2") + "shards/0000/"
    for name in ("index.dat", "ids.dat"):
        world.store.write(key + name, world.store.read(index_prefix("other-corrupt", "bad-1") + f"shards/0000/{name}"))
    whole = bytearray(world.store.read(key + "index.dat"))
    whole[-5] ^= 1
    world.store.write(key + "index.dat", bytes(whole))
    manifest = replace(bad.manifest, label="corrupt", index_id="bad-2")
    world.store.create(index_prefix("corrupt", "bad-2") + "meta.json", manifest.to_json())
    move_head(world.store, "corrupt", "bad-2")
    wait_until(lambda: world.matcher.not_loaded("corrupt"), what="the failure")
    failure = world.matcher.not_loaded("corrupt")
    assert (failure["index_id"], failure["error_code"]) == ("bad-2", 26308)
    assert "index.dat" in failure["detail"]
    assert wire.ask("corrupt", old.rows[3], v=None)["result"][0][0] == "good-1-3"
    publish_index(world.store, "corrupt", "good-3", unit_rows(32))
    wait_until(lambda: world.matcher.indexes()["corrupt"] == "good-3", what="recovery")
    assert not world.matcher.not_loaded("corrupt")


def test_a_foreign_index_file_is_26308(world: World) -> None:
    """Checksums are right: the build itself stored something else."""
    from pipeline.artifact import File, Shard, content_digest, publish

    good = publish_index(world.store, "foreign", "foreign-1", unit_rows(33)).manifest
    data = b"not an index at all, but long enough to be read"
    files = [file for file in good.shards[0].files if not file.key.endswith("index.dat")]
    home = index_prefix("foreign", "foreign-2")
    for file in files:
        world.store.write(home + file.key, world.store.read(index_prefix("foreign", "foreign-1") + file.key))
    world.store.write(home + "shards/0000/index.dat", data)
    shards = (Shard(rows=400, files=(*files, File.of("shards/0000/index.dat", data)), memory=good.shards[0].memory),)
    digest = content_digest("exact", {}, good.point, shards)
    publish(world.store, replace(good, index_id="foreign-2", shards=shards, content_digest=digest))
    wait_until(lambda: world.matcher.not_loaded("foreign"), what="the failure")
    assert world.matcher.not_loaded("foreign")["error_code"] == 26308


def test_a_file_that_is_not_there_is_shown(world: World, tmp_path: Path) -> None:
    publish_index(world.store, "half", "half-1", unit_rows(34))
    wait_until(lambda: world.matcher.indexes().get("half") == "half-1", what="loading")
    manifest = publish_index(bucket(tmp_path), "half", "half-2", unit_rows(35)).manifest
    world.store.create(index_prefix("half", "half-2") + "meta.json", manifest.to_json())
    move_head(world.store, "half", "half-2")
    wait_until(lambda: world.matcher.not_loaded("half"), what="the failure")
    assert world.matcher.not_loaded("half")["index_id"] == "half-2"
    assert world.matcher.not_loaded("half")["error_code"] == 26308
    assert world.matcher.indexes()["half"] == "half-1"
    move_head(world.store, "half", "half-1")  # back to what it has: nothing is wrong any more
    wait_until(lambda: not world.matcher.not_loaded("half"), what="forgetting")


def test_a_newer_format_is_shown_and_the_older_index_keeps_serving(world: World, wire: Wire) -> None:
    old = publish_index(world.store, "newer", "newer-1", unit_rows(36))
    wait_until(lambda: world.matcher.indexes().get("newer") == "newer-1", what="loading")
    written = json.loads(replace(old.manifest, index_id="newer-2").to_json()) | {"format": 99, "unheard": "of"}
    world.store.create(index_prefix("newer", "newer-2") + "meta.json", json.dumps(written).encode())
    move_head(world.store, "newer", "newer-2")
    wait_until(lambda: world.matcher.not_loaded("newer"), what="the failure")
    detail = world.matcher.not_loaded("newer")["detail"]
    assert f"expected format {FORMAT} or older, got 99: update this installation" in detail
    assert wire.ask("newer:newer-1", old.rows[0])["result"][0][0] == "newer-1-0"


def test_a_head_that_is_no_head_is_shown_and_forgotten_with_it(world: World) -> None:
    world.store.write(head_key("scribble"), b"{")
    wait_until(lambda: world.matcher.not_loaded("scribble"), what="the failure")
    assert "expected JSON" in world.matcher.not_loaded("scribble")["detail"]
    world.store.delete(head_key("scribble"))
    wait_until(lambda: not world.matcher.not_loaded("scribble"), what="forgetting")
    assert world.matcher.get("/healthcheck")[0] == 200


def test_an_index_that_does_not_fit_is_26307(world: World) -> None:
    publish_index(world.store, "big", "big-1", unit_rows(37), memory=1 << 60)
    wait_until(lambda: world.matcher.not_loaded("big"), what="the failure")
    failure = world.matcher.not_loaded("big")
    assert (failure["index_id"], failure["error_code"]) == ("big-1", 26307)
    assert "needs 1,152,921,504,606,846,976 bytes beside" in failure["detail"]
    assert "matcher.memory_limit_bytes" in failure["detail"]
    world.store.delete(head_key("big"))


def test_no_redis_is_said_and_waited_for(tmp_path: Path) -> None:
    from manager.embedded.processes import free_port

    bucket(tmp_path / "bucket")
    with matchers(tmp_path, f"redis://127.0.0.1:{free_port()}/0") as group:
        one = group.begin("lonely")
        wait_until(lambda: one.get("/healthcheck")[0] == 503, what="the page")
        wait_until(lambda: "redis.url" in one.child.log.read_text(), what="the warning")
        assert "still loading" in one.get("/healthcheck")[1]
        assert one.child.stop() == 0


def test_pages_for_operators(world: World) -> None:
    status, body = world.matcher.get("/healthcheck")
    assert (status, json.loads(body)["status"], json.loads(body)["problems"]) == (200, "ok", [])
    version = world.matcher.page("/version")["Version"]
    assert sorted(version) == ["api", "major", "minor", "patch"]
    assert all(isinstance(part, int) for part in version.values())
    faces = next(one for one in world.matcher.page("/indexes")["indexes"] if one["label"] == "faces")
    assert (faces["index_id"], faces["rows"], faces["recipe"], faces["watermark"]) == ("faces-1", 400, "exact", 7)
    text = world.matcher.get("/metrics")[1]
    assert 'lim_index_rows{index_id="faces-1",label="faces",shard="0"} 400.0' in text
    assert "process_resident_memory_bytes" in text


def test_metrics_count(world: World, wire: Wire) -> None:
    def value(name: str) -> float:
        lines = world.matcher.get("/metrics")[1].splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), 0.0)

    names = ("lim_requests_read_total", "lim_requests_answered_total", 'lim_errors_total{error_code="26302"}')
    before = {name: value(name) for name in names}
    wire.ask(STREAM, world.faces.rows[0])
    wire.ask(STREAM, b"")
    assert [value(name) - before[name] for name in names] == [2, 2, 1]


def test_the_configuration_hides_secrets(world: World, tmp_path: Path) -> None:
    shown = world.matcher.page("/config")
    assert shown["matcher"]["poll_s"] == 0.2
    secret = {
        "LIM_STORAGE__ACCESS_KEY": "key-of-mine", "LIM_STORAGE__SECRET_KEY": "hush-hush",
        "LIM_REDIS__URL": world.url.replace("redis://", "redis://default:pass-word@"),
    }  # fmt: skip
    with redis.Redis.from_url(world.url) as line:
        line.acl_setuser(
            "guarded", enabled=True, passwords=["+pass-word"], commands=["+@all"], keys=["*"], channels=["*"]
        )
        secret["LIM_REDIS__URL"] = world.url.replace("redis://", "redis://guarded:pass-word@")
        bucket(tmp_path / "bucket")
        with matchers(tmp_path, world.url) as group:
            one = group.start("guarded", **secret)
            text = one.get("/config")[1] + one.child.log.read_text()
        line.acl_deluser("guarded")
    assert "guarded" in text
    for word in ("hush-hush", "pass-word", "key-of-mine"):
        assert word not in text
