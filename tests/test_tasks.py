"""Tasks in Redis: submitted once, in turn, one a label, ended one way or another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from tasks import tasks_at, wished

from manager.connecting import connect
from manager.errors import (
    AlreadyIndexed,
    BadRequest,
    IdTaken,
    NoSuchTask,
    StaleLeader,
    TaskExists,
    TaskOver,
    Unavailable,
)
from manager.tasks import keys
from manager.tasks.finding import Wanted
from manager.tasks.task import MOVES, STATUSES, Task
from manager.tasks.tasks import Tasks


@pytest.fixture
async def tasks(redis_url: str) -> AsyncIterator[Tasks]:
    async with tasks_at(redis_url) as found:
        yield found


async def build(tasks: Tasks, fence: int = 1) -> Task:
    """Claim the next one, end it in success."""
    task = await tasks.claim(fence, "here")
    assert task is not None
    return await tasks.succeed(task.task_id, fence, 5, "digest")


async def test_a_task_goes_its_way(tasks: Tasks) -> None:
    submitted = await tasks.submit(
        wished("one", rows=7, options={"build.recipe": "scan"}, priority=3, request_id="1,x")
    )
    assert (submitted.status, submitted.rows, submitted.options) == ("pending", 7, {"build.recipe": "scan"})
    assert submitted.created > 1e9
    assert await tasks.waiting(10) == ["one"]
    claimed = await tasks.claim(4, "tcp://here")
    assert claimed is not None
    assert (claimed.status, claimed.fence, claimed.indexer, claimed.attempts) == ("indexing", 4, "tcp://here", 1)
    assert claimed.started >= submitted.created
    told = {"stage": "encode", "items": 9, "finished": 2, "rows_per_s": 12.5, "eta_s": 3.25}
    assert not await tasks.progress("one", 4, told)
    running = await tasks.get("one")
    assert {name: getattr(running, name) for name in told} == told
    done = await tasks.succeed("one", 4, 6, "abc")
    assert (done.status, done.rows, done.digest, done.error_code) == ("success", 6, "abc", 0)
    assert done.ended >= done.started
    assert await tasks.counts() == {"pending": 0, "indexing": 0, "success": 1, "error": 0, "cancelled": 0}
    built = await tasks.built("people")
    assert built is not None
    assert (built["task_id"], built["fingerprint"], built["content"], built["rows"]) == (
        "one",
        "one",
        done.content,
        "6",
    )
    assert await tasks.built("nobody") is None


async def test_equal_content_is_submitted_once(tasks: Tasks) -> None:
    first = await tasks.submit(wished("one", fingerprint="same"))
    assert await tasks.submit(wished("one", fingerprint="same")) == first
    with pytest.raises(TaskExists, match="task one waits or is being built") as waits:
        await tasks.submit(wished("two", fingerprint="same"), again=True)
    assert (waits.value.task_id, waits.value.error_code) == ("one", 26201)
    with pytest.raises(IdTaken, match="task_id one: another task has it"):
        await tasks.submit(wished("one", fingerprint="other"))
    await tasks.claim(1, "here")
    with pytest.raises(TaskExists):
        await tasks.submit(wished("two", fingerprint="same"))
    await tasks.succeed("one", 1, 5, "digest")
    assert (await tasks.submit(wished("one", fingerprint="same"))).status == "success"
    with pytest.raises(AlreadyIndexed, match="index one, the newest of its label") as indexed:
        await tasks.submit(wished("two", fingerprint="same"))
    assert (indexed.value.task_id, indexed.value.error_code) == ("one", 26202)
    assert (await tasks.submit(wished("two", fingerprint="same"), again=True)).status == "pending"
    assert (
        await tasks.submit(wished("three", fingerprint="same", options={"build.recipe": "scan"}))
    ).status == "pending"
    assert await tasks.waiting(10) == ["two", "three"]


async def test_content_that_failed_or_was_cancelled_may_come_again(tasks: Tasks) -> None:
    await tasks.submit(wished("one", fingerprint="same"))
    await tasks.cancel("one")
    await tasks.submit(wished("two", fingerprint="same"))
    with pytest.raises(TaskExists) as waits:
        await tasks.retry("one")
    assert waits.value.task_id == "two"
    await tasks.claim(1, "here")
    await tasks.fail("two", 1, 26103, "why")
    assert (await tasks.retry("one")).status == "pending"


async def test_turns_are_by_priority_then_by_submission(tasks: Tasks) -> None:
    for number in range(6):
        await tasks.submit(wished(f"t{number}", f"label:{number}", priority=[0, 5, 0, 5, -1, 0][number]))
    assert await tasks.waiting(10) == ["t1", "t3", "t0", "t2", "t5", "t4"]
    assert await tasks.waiting(2, 3) == ["t2", "t5"]
    await tasks.prioritise("t4", 6)
    claimed = [await tasks.claim(1, "here") for _ in range(7)]
    assert [task and task.task_id for task in claimed] == ["t4", "t1", "t3", "t0", "t2", "t5", None]


async def test_a_label_is_built_by_one_at_a_time(tasks: Tasks) -> None:
    """Also when many of it wait before another's."""
    for number in range(250):
        await tasks.submit(wished(f"a{number}", "a:b"))
    await tasks.submit(wished("other", "b"))
    first, second = await tasks.claim(1, "here"), await tasks.claim(1, "here")
    assert first
    assert second
    assert (first.task_id, second.task_id) == ("a0", "other")
    assert await tasks.claim(1, "here") is None
    await tasks.fail("a0", 1, 26103, "why")
    third = await tasks.claim(1, "here")
    assert third
    assert third.task_id == "a1"


async def test_cancel_in_every_state(tasks: Tasks) -> None:
    for name in ("waits", "runs", "fails", "ends"):
        await tasks.submit(wished(name, name))
    assert (await tasks.cancel("waits")).status == "cancelled"
    assert (await tasks.cancel("waits")).error_code == 26106
    for _ in range(3):
        await tasks.claim(1, "here")
    assert (await tasks.cancel("runs")).cancelling
    assert await tasks.progress("runs", 1, {"stage": "train"})
    done = await tasks.cancelled("runs", 1)
    assert (done.status, done.cancelling, done.error_code, done.desc) == (
        "cancelled", False, 26106, "build was cancelled",
    )  # fmt: skip
    await tasks.fail("fails", 1, 26105, "no rows")
    await tasks.succeed("ends", 1, 5, "digest")
    for over in ("fails", "ends"):
        with pytest.raises(TaskOver):
            await tasks.cancel(over)
    with pytest.raises(NoSuchTask):
        await tasks.cancel("nobody")


async def test_cancelled_while_it_would_be_tried_again(tasks: Tasks) -> None:
    await tasks.submit(wished("one"))
    await tasks.claim(1, "here")
    await tasks.cancel("one")
    ended = await tasks.fail("one", 1, 26104, "died", again_at=5.0)
    assert (ended.status, ended.not_before, ended.detail) == ("cancelled", 0.0, "died")
    assert await tasks.fail("one", 1, 26104, "died", again_at=5.0) == ended


async def test_a_further_attempt_waits_and_keeps_its_turn(tasks: Tasks, redis_url: str) -> None:
    for name in ("one", "two"):
        await tasks.submit(wished(name, name))
    await tasks.claim(1, "here")
    failed = await tasks.fail("one", 1, 26104, "its process died", again_at=4e9)
    assert (failed.status, failed.not_before, failed.detail, failed.error_code) == (
        "pending", 4e9, "its process died", 26104,
    )  # fmt: skip
    assert await tasks.waiting(10) == ["two", "one"]
    assert await tasks.waiting(1, 1) == ["one"]
    await tasks.prioritise("one", 1)
    await tasks.submit(wished("three", "three"))
    async with connect(redis_url) as redis:
        await redis.zadd(keys.LATER, {"one": 1.0})  # as if the time had passed
    claimed = [await tasks.claim(2, "here") for _ in range(3)]
    assert [task and (task.task_id, task.attempts) for task in claimed] == [("one", 2), ("two", 1), ("three", 1)]
    assert claimed[0]
    assert claimed[0].not_before == 0.0


async def test_only_the_newest_leader_moves_tasks(tasks: Tasks) -> None:
    for name in ("one", "two"):
        await tasks.submit(wished(name, name))
        await tasks.claim(3, "here")
    adopted = await tasks.adopt(5)
    assert {(task.task_id, task.fence, task.indexer) for task in adopted} == {("one", 5, "here"), ("two", 5, "here")}
    for refused in (
        tasks.claim(3, "x"), tasks.adopt(4), tasks.progress("one", 3, {"items": 2}), tasks.succeed("one", 3, 1, "d"),
        tasks.fail("one", 4, 26103, "x"), tasks.cancelled("one", 3),
    ):  # fmt: skip
        with pytest.raises(StaleLeader, match="expected 5 or newer"):
            await refused
    assert (await tasks.get("one")).status == "indexing"
    assert (await tasks.succeed("one", 5, 1, "d")).status == "success"


async def test_an_emptied_fence_does_not_let_an_older_leader_move_a_task(tasks: Tasks, redis_url: str) -> None:
    await tasks.submit(wished("one"))
    await tasks.claim(7, "here")
    async with connect(redis_url) as redis:
        await redis.delete(keys.FENCE)
    with pytest.raises(StaleLeader):
        await tasks.succeed("one", 6, 1, "d")


async def test_repeated_moves_happen_once(tasks: Tasks) -> None:
    await tasks.submit(wished("one"))
    await tasks.claim(1, "here")
    again = await tasks.fail("one", 1, 26104, "x", again_at=1.0)
    assert await tasks.fail("one", 1, 26104, "x", again_at=1.0) == again
    await tasks.claim(1, "here")
    done = await tasks.succeed("one", 1, 5, "d")
    assert await tasks.succeed("one", 1, 5, "d") == done
    for wrong in (tasks.fail("one", 1, 26103, "x"), tasks.cancelled("one", 1), tasks.progress("one", 1, {})):
        with pytest.raises(TaskOver, match="in the state 'success'"):
            await wrong
    with pytest.raises(TaskOver):
        await tasks.retry("one")
    with pytest.raises(ValueError, match="got 'status'"):
        await tasks.progress("one", 1, {"status": "error"})


async def test_a_claim_whose_answer_was_lost(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one answers with the task that it took, which would be built by nobody otherwise."""
    for name in ("one", "two"):
        await tasks.submit(wished(name, name))
    real: Any = Redis.evalsha
    with monkeypatch.context() as patch:

        async def lost(self: Redis, *arguments: Any) -> Any:
            await real(self, *arguments)
            raise ConnectionResetError("gone")

        patch.setattr(Redis, "evalsha", lost)
        with pytest.raises(Unavailable, match="expected an answer, got: gone"):
            await tasks.claim(1, "here")
    found = [await tasks.claim(1, "here") for _ in range(3)]
    assert [task and (task.task_id, task.attempts) for task in found] == [("one", 1), ("two", 1), None]


async def test_retry_begins_anew(tasks: Tasks) -> None:
    await tasks.submit(wished("one"))
    await tasks.submit(wished("two", "other"))
    await tasks.claim(1, "here")
    await tasks.progress("one", 1, {"stage": "train", "items": 4})
    await tasks.fail("one", 1, 26103, "why")
    waits = await tasks.retry("one")
    assert waits == await tasks.retry("one")
    assert (waits.status, waits.attempts, waits.error_code, waits.detail, waits.stage, waits.items, waits.ended) == (
        "pending", 0, 0, "", "", 0, 0.0,
    )  # fmt: skip
    assert await tasks.waiting(10) == ["two", "one"]


async def test_content_of_a_removed_index_may_be_built_again(tasks: Tasks) -> None:
    for name in ("one", "two"):
        await tasks.submit(wished(name))
        await build(tasks)
    await tasks.removed("people", "one")
    with pytest.raises(AlreadyIndexed, match="index two"):
        await tasks.submit(wished("three", fingerprint="two"))
    await tasks.removed("people", "two")
    assert await tasks.built("people") is None
    assert (await tasks.submit(wished("three", fingerprint="two"))).status == "pending"


async def test_ids_and_priorities_that_cannot_be(tasks: Tasks) -> None:
    for task_id in ("", "a:b", "../x", "x" * 101):
        with pytest.raises(BadRequest, match="task_id: expected up to 100 letters"):
            await tasks.submit(wished(task_id))
    with pytest.raises(BadRequest, match="priority: expected"):
        await tasks.submit(wished("one", priority=10**12))
    with pytest.raises(NoSuchTask):
        await tasks.prioritise("one", 1)
    assert await tasks.find(Wanted(), 10) == await tasks.find(Wanted(label="x"), 10)


def test_every_state_is_left_or_final() -> None:
    assert set(MOVES) == set(STATUSES)
    assert {one for one, to in MOVES.items() if not to} == {"success"}
