"""The client when Redis goes away, or was never there."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from pathlib import Path

import numpy as np
import pytest
import redis
from echo_matcher import DIM, answered, echoing
from waiting import eventually

from configs.settings import Client
from manager.embedded.processes import free_port
from manager.embedded.valkey import Valkey
from matcher import keys
from matcher.client import MatchClient
from matcher.client_sync import SyncMatchClient
from matcher.errors import TimedOut, Unreachable

PROBE = np.eye(1, DIM, dtype=np.float32)[0]
QUICK = Client(timeout_ms=8_000, refresh_s=0.1)


def come_back(server: Valkey, folder: Path, *, keeps: bool) -> None:
    """Start again on the same port, with the data or without."""
    if not keeps:
        shutil.rmtree(folder / "redis")
        (folder / "redis").mkdir()
    server.restart()


@pytest.mark.parametrize("keeps", [True, False], ids=["keeps its data", "forgets"])
async def test_what_is_under_way_when_redis_dies_is_answered_when_it_is_back(
    redis_server: Valkey, tmp_path: Path, keeps: bool
) -> None:
    server = redis_server
    async with echoing(server.url) as echo, MatchClient(server.url, QUICK) as client:
        await client.match("mine", PROBE)
        echo.reply = lambda fields: []
        waiting = [asyncio.create_task(client.match("mine", PROBE)) for _ in range(200)]
        await eventually(lambda: len(echo.seen) > 200)
        server.kill()
        await eventually(lambda: not client.connected)
        late = asyncio.create_task(client.match("mine", PROBE))  # asked while Redis is away
        echo.reply = lambda fields: [answered(fields)]
        come_back(server, tmp_path, keeps=keeps)
        answers = await asyncio.gather(late, *waiting)
        assert {answer.candidates[0].id for answer in answers} == {
            f"{client.id}-{number:x}" for number in range(2, 203)
        }
        assert client.counts.repeated >= 200


async def test_many_requests_flow_through_several_deaths_of_redis(redis_server: Valkey, tmp_path: Path) -> None:
    server = redis_server
    async with echoing(server.url), MatchClient(server.url, QUICK) as client:
        done = asyncio.Event()
        names = []

        async def ask() -> None:
            while not done.is_set():
                names.append((await client.match("mine", PROBE)).candidates[0].id)

        tasks = [asyncio.create_task(ask()) for _ in range(50)]
        for keeps in (True, False):
            before = len(names)
            await eventually(lambda: len(names) > before + 500)  # noqa: B023 - waited for in this round
            server.kill()
            come_back(server, tmp_path, keeps=keeps)
        before = len(names)
        await eventually(lambda: len(names) > before + 500)
        done.set()
        await asyncio.gather(*tasks)
        assert len(set(names)) == len(names) == client.counts.sent


async def test_redis_away_until_the_deadline_is_said_so(redis_server: Valkey) -> None:
    server = redis_server
    async with echoing(server.url), MatchClient(server.url, QUICK) as client:
        await client.match("mine", PROBE)
        server.kill()
        await eventually(lambda: not client.connected)
        with pytest.raises(TimedOut, match=r"no answer for label 'mine' in time, 0.3 s: Redis is away; is it running"):
            await client.match("mine", PROBE, timeout_s=0.3)
        with pytest.raises(TimedOut, match=r"unheard: Redis did not say who serves it within 0.2 s"):
            await client.match("unheard", PROBE, timeout_s=0.2)


async def test_a_subscription_that_is_cut_is_made_again(redis_url: str) -> None:
    async with echoing(redis_url) as echo, MatchClient(redis_url, QUICK) as client:
        await client.match("mine", PROBE)
        echo.reply = lambda fields: []
        waiting = asyncio.create_task(client.match("mine", PROBE))
        await eventually(lambda: len(echo.seen) == 2)
        await echo.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await eventually(lambda: len(echo.seen) == 3)
        echo.reply = lambda fields: [answered(fields)]
        assert (await client.match("mine", PROBE)).candidates[0].id == f"{client.id}-3"
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_server_that_falls_silent_counts_as_lost(redis_server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    server = redis_server
    monkeypatch.setattr("matcher.session.PING_S", 0.1)
    async with echoing(server.url), MatchClient(server.url, QUICK) as client:
        await client.match("mine", PROBE)
        os.kill(server.child.pid, signal.SIGSTOP)
        await eventually(lambda: not client.connected)
        os.kill(server.child.pid, signal.SIGCONT)
        await eventually(lambda: client.connected)
        assert (await client.match("mine", PROBE)).index_id == "one"


async def test_what_redis_refuses_is_raised(redis_url: str) -> None:
    async with echoing(redis_url) as echo, MatchClient(redis_url, QUICK) as client:
        await client.match("mine", PROBE)
        await echo.redis.config_set("maxmemory", "1")
        try:
            with pytest.raises(Unreachable, match=r"mine: Redis refused the request: .*maxmemory"):
                await client.match("mine", PROBE)
        finally:
            await echo.redis.config_set("maxmemory", "0")
        await client.match("mine", PROBE)


async def test_no_redis_at_the_start_is_one_clear_error() -> None:
    url = f"redis://:geheim@127.0.0.1:{free_port()}/0"
    for opened in (lambda: MatchClient(url).__aenter__(), lambda: asyncio.to_thread(SyncMatchClient(url).__enter__)):
        with pytest.raises(
            Unreachable,
            match=r"redis.url: nothing answers at redis://.*Connect call failed.*start the stack with `lim up`",
        ) as caught:
            await opened()
        assert "geheim" not in str(caught.value)


async def test_an_announcement_of_another_protocol_is_passed_over(redis_url: str) -> None:
    async with echoing(redis_url) as echo:
        for name, body in (("a", b"hello"), ("b", b"\xc1"), ("c", b"\x80"), ("d", b"\x81\xa7indexes\x91\x80")):
            await echo.redis.zadd(keys.MATCHERS, {name: 1})
            await echo.redis.set(keys.announcement(name), body)
        async with MatchClient(redis_url, QUICK) as client:
            assert (await client.match("mine", PROBE)).index_id == "one"


async def test_a_server_that_accepts_and_says_nothing_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matcher.session.CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, nobody answers
        port = silent.getsockname()[1]
        with pytest.raises(Unreachable, match="nothing answers"):
            await MatchClient(f"redis://127.0.0.1:{port}/0").__aenter__()


async def test_opened_and_closed_at_once_leaves_nothing(redis_url: str) -> None:
    async with echoing(redis_url) as echo:
        async with MatchClient(redis_url, QUICK) as client:
            pass
        assert client.id not in str(await echo.redis.client_list())


async def test_nothing_is_left_behind(redis_url: str) -> None:
    async with echoing(redis_url) as echo, MatchClient(redis_url, QUICK) as client:
        await client.match("mine", PROBE)
        names = [entry["name"] for entry in await echo.redis.client_list()]
        assert len([name for name in names if client.id in name]) == 2
    with redis.Redis.from_url(redis_url) as other:
        assert not [entry for entry in other.client_list() if client.id in entry["name"]]
        assert not [key for key in other.keys("*") if client.id.encode() in key]
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left
