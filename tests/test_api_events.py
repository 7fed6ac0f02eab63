"""Events of tasks over HTTP: snapshots, changes, clients that go, a Redis that goes."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socket
import struct
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from manager_pages import World, shown
from starlette.types import Message
from waiting import wait_until

from manager.api import events, feed, streaming
from manager.api.feed import MOST_CHANGED, Follower
from manager.embedded.valkey import Valkey
from manager.tasks.keys import EVENTS


@pytest.fixture
def world(redis_server: Valkey, tmp_path: Path) -> Iterator[World]:
    with shown(redis_server.url, tmp_path) as found:
        yield found


@contextmanager
def stream(world: World, path: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
    """An answer that goes on; the client has gone after the block, without a word."""
    place = urlsplit(world.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    line = connection.sock
    try:
        yield connection.getresponse()
    finally:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # as a machine that is unplugged
        connection.close()
        line.close()


def told(answer: http.client.HTTPResponse) -> tuple[str, Any, str]:
    """Name, data and id of the next event."""
    fields: dict[str, str] = {}
    while True:
        line = answer.readline().decode()
        assert line, "the stream goes on"
        name, _, value = line.strip().partition(": ")
        if line == "\n" and "event" in fields:
            return fields["event"], json.loads(fields["data"]), fields.get("id", "")
        fields |= {name: value} if name else {}


def clients(world: World) -> int:
    found = re.search(r"lim_manager_event_clients (\d+)", world.visitor.get("/metrics").text)
    assert found
    return int(found[1])


def subscribed(world: World) -> int:
    """How many connections listen in Redis."""
    with redis.Redis.from_url(world.parts.settings.redis.url) as client:
        ((_, count),) = client.pubsub_numsub(EVENTS)
        return int(count)


def test_a_task_is_followed_to_its_end(world: World) -> None:
    task = world.submit("followed")
    with stream(world, f"/1/tasks/{task.task_id}/events") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert told(answer)[1]["status"] == "pending"
        wait_until(lambda: subscribed(world) == 1, timeout_s=10, what="the subscription")
        world.submit("another")
        assert world.claim() == world.do(world.parts.tasks.get(task.task_id))
        world.do(world.parts.tasks.progress(task.task_id, 1, {"stage": "encode", "items": 8, "finished": 2}))
        while (now := told(answer)[1])["status"] == "pending" or not now["progress"]["stage"]:
            assert now["task_id"] == task.task_id
        assert now["progress"] | {"stage": "encode", "items": 8, "finished": 2} == now["progress"]
        world.do(world.parts.tasks.succeed(task.task_id, 1, 77, "d"))
        while (last := told(answer))[1]["status"] != "success":
            assert last[2] == ""
        assert (last[1]["rows"], last[2]) == (77, events.ENDED)
        assert answer.read() == b""  # it ends, and says so
    again = world.visitor.get(f"/1/tasks/{task.task_id}/events", Last_Event_ID=events.ENDED)
    assert (again.status, again.text) == (204, "")
    assert world.visitor.get("/1/tasks/nobody/events").status == 404
    wait_until(lambda: (clients(world), subscribed(world)) == (0, 0), timeout_s=10, what="nobody following")


def test_all_are_told_of_everything_by_one_subscription(world: World) -> None:
    first = world.submit("first")
    world.claim()
    with stream(world, "/1/events") as one, stream(world, "/1/events") as other:
        for answer in (one, other):
            name, data, _ = told(answer)
            assert (name, data["counts"]["indexing"]) == ("snapshot", 1)
            assert [task["task_id"] for task in data["tasks"]] == [first.task_id]
        assert (clients(world), subscribed(world)) == (2, 1)
        second = world.submit("second")
        for answer in (one, other):
            name, data, _ = told(answer)
            assert (name, data["task_id"], data["status"]) == ("task", second.task_id, "pending")
    head = world.visitor.ask("HEAD", "/1/events")
    assert (head.status, head.headers["Content-Type"]) == (200, "text/event-stream")


def test_clients_that_go_leave_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty are unplugged in the middle of a stream that has nothing to tell."""
    tasks = len(world.do(_running()))
    for _ in range(20):
        with stream(world, "/1/events") as answer:
            assert told(answer)[0] == "snapshot"
    wait_until(lambda: (clients(world), subscribed(world)) == (0, 0), timeout_s=20, what="nobody following")
    wait_until(lambda: len(world.do(_running())) <= tasks, timeout_s=10, what="no task left of them")
    monkeypatch.setattr(feed, "MOST_FOLLOWERS", 1)
    with stream(world, "/1/events") as answer:
        assert told(answer)[0] == "snapshot"
        refused = world.visitor.get("/1/events")
        assert (refused.status, refused.json["error_code"], refused.headers["Retry-After"]) == (503, 26224, "1")


async def _running() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks()


def test_a_redis_that_was_away_is_looked_at_again(
    world: World, redis_server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever changed meanwhile is in another snapshot; in silence there is a sign of life."""
    monkeypatch.setattr(events, "BEAT_S", 0.2)
    task = world.submit("before")
    with stream(world, "/1/events") as answer:
        assert told(answer)[1]["counts"]["pending"] == 1
        while answer.readline() != streaming.BEAT.splitlines(keepends=True)[0]:
            pass
        redis_server.kill()
        redis_server.restart()
        world.do(world.parts.tasks.cancel(task.task_id))
        while (found := told(answer))[0] != "snapshot" or found[1]["counts"]["cancelled"] == 0:
            pass
        assert found[1]["counts"]["pending"] == 0


def test_streams_end_with_the_service(redis_url: str, tmp_path: Path) -> None:
    with shown(redis_url, tmp_path) as world:
        entered = stream(world, "/1/events")
        answer = entered.__enter__()
        assert told(answer)[0] == "snapshot"
        world.loop.call_soon_threadsafe(world.parts.stopping.set)
        assert answer.read() == b""
        entered.__exit__(None, None, None)


async def test_a_slow_client_costs_no_more_than_it_has_to_hear() -> None:
    """Of each task the newest state; of very many tasks that it should look again."""
    slow = Follower("", asyncio.Semaphore(1), missed=False)
    for finished in range(10):
        slow.put({"task_id": "a", "finished": finished})
    assert await slow.changes(1.0) == [{"task_id": "a", "finished": 9}]
    assert await slow.changes(0.01) == []
    for number in range(MOST_CHANGED + 1):
        slow.put({"task_id": str(number)})
    assert (slow.missed, await slow.changes(1.0)) == (True, [])
    of_one = Follower("a", asyncio.Semaphore(1), missed=False)
    of_one.put({"task_id": "b"})
    assert await of_one.changes(0.01) == []


async def test_a_client_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "SEND_S", 0.05)
    ended = asyncio.Event()

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield streaming.BEAT
        finally:
            ended.set()

    async def send(message: Message) -> None:
        if message.get("body") == streaming.BEAT:
            await asyncio.Event().wait()  # its buffers are full

    async def receive() -> Message:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    answer = streaming.EventStream(chunks())
    await asyncio.wait_for(answer({"type": "http", "method": "GET"}, receive, send), 5)
    assert ended.is_set()
