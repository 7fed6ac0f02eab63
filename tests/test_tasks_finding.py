"""Looking at tasks: by page, by what they are, as they change, until they are forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tasks import tasks_at, wished
from waiting import eventually

from manager.connecting import connect
from manager.errors import BadRequest, NoSuchTask
from manager.tasks import finding, keys
from manager.tasks.finding import Wanted
from manager.tasks.tasks import Tasks


@pytest.fixture
async def tasks(redis_url: str) -> AsyncIterator[Tasks]:
    async with tasks_at(redis_url) as found:
        yield found


async def ids(tasks: Tasks, limit: int = 100, **wanted: Any) -> list[str]:
    """Of all pages."""
    found: list[str] = []
    cursor = ""
    while True:
        page = await tasks.find(Wanted(**wanted), limit, cursor)
        assert len(page.tasks) <= limit
        found += [task.task_id for task in page.tasks]
        if not (cursor := page.next):
            return found


@pytest.fixture
async def some(tasks: Tasks) -> list[str]:
    """Twelve over three labels, newest first: t0 succeeded, t1 failed, t2 runs, t3 was cancelled, the rest waits."""
    for number in range(12):
        await tasks.submit(wished(f"t{number}", f"l{number % 3}"))
    for where in ("here", "there", "here"):
        await tasks.claim(1, where)
    await tasks.succeed("t0", 1, 5, "d")
    await tasks.fail("t1", 1, 26103, "x")
    await tasks.cancel("t3")
    return [f"t{number}" for number in range(11, -1, -1)]


@pytest.mark.parametrize("limit", [1, 2, 5, 12, 100])
async def test_pages_hold_every_task_once(
    tasks: Tasks, some: list[str], limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one call of the script does not look at enough of them."""
    monkeypatch.setattr(finding, "SCANNED", 4)
    assert await ids(tasks, limit) == some
    assert await ids(tasks, limit, label="l1") == ["t10", "t7", "t4", "t1"]
    assert await ids(tasks, limit, statuses=("success", "error", "cancelled")) == ["t3", "t1", "t0"]
    assert await ids(tasks, limit, task_ids=("t3", "t9", "nobody", "t1")) == ["t9", "t3", "t1"]


async def test_what_is_wanted(tasks: Tasks, some: list[str]) -> None:
    assert await ids(tasks, statuses=("pending",)) == some[:8]
    assert await ids(tasks, statuses=("indexing",)) == ["t2"]
    assert await ids(tasks, indexer="there") == ["t1"]
    assert await ids(tasks, label="l2", statuses=("pending", "indexing")) == ["t11", "t8", "t5", "t2"]
    assert await ids(tasks, label="nobody") == []
    at = (await tasks.get("t5")).created
    assert await ids(tasks, created_from=at) == some[:7]
    assert await ids(tasks, created_before=at) == some[7:]
    assert await ids(tasks, created_from=at, created_before=at) == []
    assert await ids(tasks, task_ids=("t3", "t9", "t1"), statuses=("cancelled",), created_before=at) == ["t3"]


async def test_a_page_goes_on_where_a_task_was_forgotten(tasks: Tasks, some: list[str], redis_url: str) -> None:
    page = await tasks.find(Wanted(), 4)
    async with connect(redis_url) as redis:
        await redis.zrem(keys.ALL, page.tasks[-1].task_id)
    rest = await tasks.find(Wanted(), 100, page.next)
    assert [task.task_id for task in rest.tasks] == some[4:]


async def test_cursors_and_limits_that_cannot_be(tasks: Tasks) -> None:
    for cursor in ("x", "x:y", "1.0", "1.0:"):
        with pytest.raises(BadRequest, match="cursor: expected the `next` of a page before"):
            await tasks.find(Wanted(), 5, cursor)
    with pytest.raises(BadRequest, match="cursor"):
        await tasks.find(Wanted(task_ids=("one",)), 5, "x")
    with pytest.raises(BadRequest, match="limit: expected 1 or more, got 0"):
        await tasks.find(Wanted(), 0)


async def test_history_is_forgotten(redis_url: str) -> None:
    async with tasks_at(redis_url, history_s=0.2) as tasks, connect(redis_url) as redis:
        await tasks.submit(wished("old", "a"))
        await tasks.claim(1, "here")
        await tasks.succeed("old", 1, 5, "digest")
        await tasks.submit(wished("waits", "b"))

        async def gone() -> bool:
            await tasks.claim(1, "here")
            return [task.task_id for task in (await tasks.find(Wanted(), 10)).tasks] == ["waits"]

        await eventually(gone, what="the end of the history")
        with pytest.raises(NoSuchTask):
            await tasks.get("old")
        assert await redis.exists(keys.OF_LABEL + "a", keys.OF_STATUS + "success", keys.ENDED) == 0
        assert (await tasks.built("a") or {})["task_id"] == "old", "what is published stays known"


async def test_events(tasks: Tasks) -> None:
    events = tasks.events()
    assert await anext(events) == {"task_id": ""}, "look first"
    said: list[dict[str, Any]] = []

    async def listen() -> None:
        async for message in events:
            said.insert(len(said), message)

    listening = asyncio.create_task(listen())
    await tasks.submit(wished("one", 'a "label"', priority=2))
    await tasks.claim(1, "here")
    await tasks.progress("one", 1, {"stage": "train", "items": 8, "finished": 3, "rows_per_s": 1.5})
    await tasks.cancel("one")
    await tasks.cancelled("one", 1)
    await eventually(lambda: len(said) == 5, what="every event")
    assert [(one["status"], one["cancelling"]) for one in said] == [
        ("pending", False), ("indexing", False), ("indexing", False), ("indexing", True), ("cancelled", False),
    ]  # fmt: skip
    assert said[2] == {
        "task_id": "one", "label": 'a "label"', "status": "indexing", "stage": "train", "items": 8, "finished": 3,
        "rows_per_s": 1.5, "eta_s": -1.0, "priority": 2, "cancelling": False, "attempts": 1, "error_code": 0,
    }  # fmt: skip
    listening.cancel()
