"""Addresses of Redis: the original's grammar for Sentinels, errors that say what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tasks import tasks_at, wished

from configs.errors import ConfigError
from configs.load import load
from configs.settings import Manager, Redis, Settings
from manager.connecting import connect, url_of
from manager.embedded.processes import free_port
from manager.embedded.valkey import Valkey
from manager.errors import Unavailable
from manager.sentinel_url import Sentinels
from manager.tasks.tasks import Tasks

READ: dict[str, tuple[list[tuple[str, int]], str, dict[str, Any], dict[str, Any]]] = {
    "redis+sentinel://suser:spass@h1:26379,h2:26380/indexed_matcher/1?username=me&password=secret": (
        [("h1", 26379), ("h2", 26380)], "indexed_matcher", {"db": 1, "username": "me", "password": "secret"},
        {"username": "suser", "password": "spass"},
    ),
    "redis+sentinel://h1,[::1]:5/m": ([("h1", 26379), ("::1", 5)], "m", {"db": 0}, {}),
    "redis+sentinel://:p%40ss%2F@h/my%20master/?password=a%26b&username=": (
        [("h", 26379)], "my master", {"db": 0, "password": "a&b"}, {"password": "p@ss/"},
    ),
    "rediss+sentinel://only@h:1/m/15": ([("h", 1)], "m", {"db": 15, "ssl": True}, {"ssl": True, "password": "only"}),
}  # fmt: skip


@pytest.mark.parametrize("url", READ)
def test_sentinels(url: str) -> None:
    found = Sentinels.read(url)
    assert (found.hosts, found.master, found.options, found.asking) == READ[url]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis+sentinel://h1:26379", "expected the master's name after the hosts, as in redis\\+sentinel://"),
        ("redis+sentinel://h1:26379/", "expected the master's name"),
        ("redis+sentinel:///m", "expected host:port of each Sentinel with commas between, got ''"),
        ("redis+sentinel://h1:x/m", "expected host:port of each Sentinel with commas between, got 'h1:x'"),
        ("redis+sentinel://h1:70000/m", "expected host:port of each Sentinel .* got 'h1:70000'"),
        ("redis+sentinel://h1,,h2/m", "expected host:port of each Sentinel .* got ''"),
        ("redis+sentinel://h1/m/one", "expected the number of a database after the master's name, got 'one'"),
        ("redis+sentinel://h1/m?user=x", "expected username or password after the '\\?', got 'user'"),
        ("redis+sentinel:/h1/m", "expected redis\\+sentinel://\\[name"),
    ],
)
def test_addresses_that_are_none(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"manager.redis_url: {message}"):
        Sentinels.read(url)


@pytest.mark.parametrize("url", ["redis+sentinel://me:hunter2@h1:x/m", "redis+sentinel://h1:x/m?password=hunter2"])
def test_errors_hide_passwords(url: str) -> None:
    with pytest.raises(ConfigError) as error:
        Sentinels.read(url)
    assert "hunter2" not in str(error.value)


def test_which_redis() -> None:
    redis = Redis(url="redis://matchers:1/0")
    assert url_of(Settings(redis=redis)) == "redis://matchers:1/0"
    assert url_of(Settings(redis=redis, manager=Manager(redis_url="redis://tasks:1/0"))) == "redis://tasks:1/0"
    for url in (*READ, "rediss://h:1/0", "unix:///run/redis.sock?db=1"):
        assert load(overrides={"manager.redis_url": url}, environ={}).settings.manager.redis_url == url
    with pytest.raises(ConfigError, match="expected redis://"):
        load(overrides={"manager.redis_url": "http://h"}, environ={})


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("redis://127.0.0.1:{port}/0", "Redis at 127.0.0.1:{port}: expected an answer, got: .*start it, or correct"),
        ("unix://{folder}/none.sock", "Redis at {folder}/none.sock: expected an answer"),
        (
            "redis+sentinel://127.0.0.1:{port}/mine",
            "Redis 'mine' of the Sentinels: expected the Sentinels to name a master, got: No master found for 'mine'",
        ),
    ],
)
async def test_nobody_there(form: str, message: str, tmp_path: Path) -> None:
    port = free_port()
    async with connect(form.format(port=port, folder=tmp_path), tries=0) as redis:
        tasks = Tasks(redis, Manager())
        with pytest.raises(Unavailable, match=message.format(port=port, folder=tmp_path)):
            await tasks.get("one")
        with pytest.raises(Unavailable):
            await tasks.submit(wished("one"))


async def test_a_password_that_is_wrong(redis_server: Valkey) -> None:
    async with tasks_at(redis_server.url) as tasks:
        await tasks._redis.config_set("requirepass", "secret")
    async with tasks_at(redis_server.url.replace("//", "//:wrong@")) as tasks:
        with pytest.raises(
            Unavailable, match=r"refuses the name or the password .*: correct manager.redis_url"
        ) as error:
            await tasks.get("one")
    assert "wrong@" not in str(error.value)
    async with tasks_at(redis_server.url) as tasks:
        with pytest.raises(Unavailable, match=r"correct manager\.redis_url"):
            await tasks.submit(wished("one"))
    async with tasks_at(redis_server.url.replace("//", "//:secret@")) as tasks:
        assert (await tasks.submit(wished("one"))).status == "pending"


async def test_a_server_that_takes_no_writes(redis_server: Valkey) -> None:
    async with tasks_at(redis_server.url) as tasks:
        await tasks.submit(wished("one"))
        await tasks._redis.config_set("min-replicas-to-write", 1)
        with pytest.raises(Unavailable, match="refuses for now: NOREPLICAS"):
            await tasks.submit(wished("two"))
        await tasks._redis.config_set("min-replicas-to-write", 0)
        assert await tasks.waiting(5) == ["one"]
