"""Moves of tasks in any order, compared with a plain model of them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from tasks import wished

from configs.settings import Manager
from manager.connecting import connect
from manager.errors import TaskError
from manager.tasks.finding import Wanted
from manager.tasks.task import STATUSES
from manager.tasks.tasks import Tasks

IDS = st.sampled_from([f"t{number}" for number in range(12)])
PICKS = st.integers(0, 12)
"""One of those that were submitted, or nobody."""
LABELS = st.sampled_from(["a", "b:c", "d"])
CONTENTS = st.sampled_from(["x", "y", "z"])
PRIORITIES = st.integers(-1, 1)
FENCES = st.sampled_from([-1, 0, 0, 0, 0, 0, 0, 1])
"""Over the newest one."""
ENDS = st.sampled_from(["success", "success", "error", "cancelled", "again", "later"])
LATER = 4e9


@dataclass
class Known:
    """A task as the model has it."""

    label: str
    fingerprint: str
    priority: int
    turn: int
    status: str = "pending"
    fence: int = 0
    attempts: int = 0
    cancelling: bool = False
    later: bool = False

    def key(self) -> tuple[int, int]:
        return -self.priority, self.turn


class Model(RuleBasedStateMachine):
    """The same calls to a real server and to a dictionary."""

    url = ""
    seen: ClassVar[set[str]] = set()
    """What calls ended in, all examples together."""

    def __init__(self) -> None:
        super().__init__()
        with redis.Redis.from_url(self.url) as line:
            line.flushall()
        self.loop = asyncio.new_event_loop()
        self.redis = connect(self.url)
        self.tasks = Tasks(self.redis, Manager())
        self.known: dict[str, Known] = {}
        self.built: dict[str, str] = {}
        self.fence, self.turns = 1, 0
        assert self.loop.run_until_complete(self.tasks.adopt(1)) == []
        for number, label in enumerate(("a", "a", "b:c", "d")):
            self.submit(f"t{number}", label, "xyz"[number % 3], 0, False)

    def teardown(self) -> None:
        self.loop.run_until_complete(self.redis.aclose())
        self.loop.close()

    def does(self, call: Coroutine[Any, Any, Any], expected: str) -> Any:
        """Make a call that ends in a state, in an error of this name, or in what `expected` says."""
        try:
            found = self.loop.run_until_complete(call)
        except TaskError as error:
            found = type(error).__name__
        said = found.status if hasattr(found, "status") else str(found)
        assert said == expected
        self.seen.add(said)
        return found

    def next_turn(self) -> int:
        self.turns += 1
        return self.turns

    def other(self, task_id: str, label: str, fingerprint: str) -> bool:
        """Whether another open task has this content."""
        return any(
            one.status in ("pending", "indexing") and (one.label, one.fingerprint) == (label, fingerprint)
            for name, one in self.known.items() if name != task_id
        )  # fmt: skip

    @rule(task_id=IDS, label=LABELS, fingerprint=CONTENTS, priority=PRIORITIES, again=st.booleans())
    def submit(self, task_id: str, label: str, fingerprint: str, priority: int, again: bool) -> None:
        known = self.known.get(task_id)
        if known:
            expected = known.status if (known.label, known.fingerprint) == (label, fingerprint) else "IdTaken"
        elif self.other(task_id, label, fingerprint):
            expected = "TaskExists"
        elif self.built.get(label) == fingerprint and not again:
            expected = "AlreadyIndexed"
        else:
            expected = "pending"
            self.known[task_id] = Known(label, fingerprint, priority, self.next_turn())
        task = wished(task_id, label, fingerprint=fingerprint, priority=priority)
        self.does(self.tasks.submit(task, again=again), expected)

    @precondition(lambda self: self.built)
    @rule(task_id=IDS, again=st.sampled_from([False, False, True]))
    def submit_built(self, task_id: str, again: bool) -> None:
        """What the newest index of a label holds."""
        label, fingerprint = next(iter(self.built.items()))
        self.submit(task_id, label, fingerprint, 0, again)

    def picked(self, pick: int) -> str:
        return [*self.known, "nobody"][pick % (len(self.known) + 1)]

    @property
    def running(self) -> list[str]:
        return [name for name, one in self.known.items() if one.status == "indexing"]

    def stale(self, fence: int, known: Known | None = None) -> bool:
        if fence < self.fence or (known and fence < known.fence):
            return True
        self.fence = max(self.fence, fence)
        return False

    @precondition(lambda self: any(one.status == "pending" for one in self.known.values()))
    @rule(over=FENCES)
    def claim(self, over: int) -> None:
        fence = self.fence + over
        if self.stale(fence):
            self.does(self.tasks.claim(fence, "here"), "StaleLeader")
            return
        busy = {one.label for one in self.known.values() if one.status == "indexing"}
        due = [(one.key(), name) for name, one in self.known.items()
               if one.status == "pending" and not one.later and one.label not in busy]  # fmt: skip
        found = self.does(self.tasks.claim(fence, "here"), "indexing" if due else "None")
        if due:
            name = min(due)[1]
            one = self.known[name]
            one.status, one.fence, one.attempts = "indexing", fence, one.attempts + 1
            assert (found.task_id, found.attempts) == (name, one.attempts)

    @rule(over=FENCES)
    def adopt(self, over: int) -> None:
        fence = self.fence + over
        if self.stale(fence):
            self.does(self.tasks.adopt(fence), "StaleLeader")
            return
        assert {task.task_id for task in self.loop.run_until_complete(self.tasks.adopt(fence))} == set(self.running)
        for name in self.running:
            self.known[name].fence = fence

    @precondition(lambda self: self.running)
    @rule(pick=PICKS, over=FENCES)
    def progress(self, pick: int, over: int) -> None:
        self.progress_of(self.picked(pick), self.fence + over)

    def progress_of(self, task_id: str, fence: int) -> None:
        known = self.known.get(task_id)
        expected = "TaskOver"
        if self.stale(fence, known):
            expected = "StaleLeader"
        elif known is None:
            expected = "NoSuchTask"
        elif known.status == "indexing":
            expected = str(known.cancelling)
        self.does(self.tasks.progress(task_id, fence, {"items": 3}), expected)

    @precondition(lambda self: self.running)
    @rule(to=ENDS)
    def end(self, to: str) -> None:
        self.end_of(self.running[0], self.fence, to)

    @rule(pick=PICKS, over=FENCES, to=ENDS)
    def end_any(self, pick: int, over: int, to: str) -> None:
        self.end_of(self.picked(pick), self.fence + over, to)

    def end_of(self, task_id: str, fence: int, to: str) -> None:
        calls = {
            "success": lambda: self.tasks.succeed(task_id, fence, 5, "d"),
            "error": lambda: self.tasks.fail(task_id, fence, 26103, "x"),
            "cancelled": lambda: self.tasks.cancelled(task_id, fence),
            "again": lambda: self.tasks.fail(task_id, fence, 26104, "x", again_at=1.0),
            "later": lambda: self.tasks.fail(task_id, fence, 26104, "x", again_at=LATER),
        }
        self.does(calls[to](), self.ended(task_id, fence, to))

    def ended(self, task_id: str, fence: int, to: str) -> str:
        known = self.known.get(task_id)
        if self.stale(fence, known):
            return "StaleLeader"
        if known is None:
            return "NoSuchTask"
        status = "pending" if to in ("again", "later") else to
        if status == "pending" and (known.cancelling or known.status == "cancelled"):
            status = "cancelled"
        if known.status == status and known.fence == fence:
            return status
        if known.status != "indexing":
            return "TaskOver"
        known.status, known.fence, known.later = status, fence, to == "later" and status == "pending"
        if status == "success":
            self.built[known.label] = known.fingerprint
        known.cancelling = known.cancelling and status == "pending"
        return status

    @precondition(lambda self: self.running)
    @rule()
    def cancel_running(self) -> None:
        self.cancel_of(self.running[0])
        self.progress_of(self.running[0], self.fence)

    @rule(pick=PICKS)
    def cancel(self, pick: int) -> None:
        self.cancel_of(self.picked(pick))

    def cancel_of(self, task_id: str) -> None:
        known, expected = self.known.get(task_id), "NoSuchTask"
        if known:
            expected = {"pending": "cancelled", "cancelled": "cancelled", "indexing": "indexing"}.get(
                known.status, "TaskOver"
            )
            known.cancelling = known.status == "indexing"
            if known.status == "pending":
                known.status, known.later = "cancelled", False
        self.does(self.tasks.cancel(task_id), expected)

    @rule(pick=PICKS)
    def retry(self, pick: int) -> None:
        task_id = self.picked(pick)
        known, expected = self.known.get(task_id), "NoSuchTask"
        if known and known.status in ("error", "cancelled"):
            if self.other(task_id, known.label, known.fingerprint):
                expected = "TaskExists"
            else:
                expected, known.status, known.attempts, known.turn = "pending", "pending", 0, self.next_turn()
        elif known:
            expected = "TaskOver" if known.status == "success" else known.status
        self.does(self.tasks.retry(task_id), expected)

    @rule(pick=PICKS, priority=PRIORITIES)
    def prioritise(self, pick: int, priority: int) -> None:
        task_id = self.picked(pick)
        known, expected = self.known.get(task_id), "NoSuchTask"
        if known:
            expected = known.status if known.status in ("pending", "indexing") else "TaskOver"
            known.priority = priority if expected != "TaskOver" else known.priority
        self.does(self.tasks.prioritise(task_id, priority), expected)

    @invariant()
    def same(self) -> None:
        """Queue, counts and every task are as the model has them."""
        due = sorted((one.key(), name) for name, one in self.known.items() if one.status == "pending" and not one.later)
        later = {name for name, one in self.known.items() if one.later and one.status == "pending"}
        calls = (self.tasks.waiting(100), self.tasks.counts(), self.tasks.find(Wanted(task_ids=tuple(self.known)), 100))
        waiting, counts, page = self.loop.run_until_complete(asyncio.wait_for(together(*calls), 30))
        assert (waiting[: len(due)], set(waiting[len(due) :])) == ([name for _, name in due], later)
        assert counts == {status: sum(one.status == status for one in self.known.values()) for status in STATUSES}
        assert len(page.tasks) == len(self.known)
        for task in page.tasks:
            one = self.known[task.task_id]
            assert (task.status, task.cancelling, task.fence) == (one.status, one.cancelling, one.fence)
            assert (task.ended > 0) == (not task.is_open)


async def together(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    return await asyncio.gather(*calls)


@pytest.mark.timeout(180)
def test_any_order_of_moves(redis_url: str) -> None:
    machine = type("Here", (Model,), {"url": redis_url})
    found = settings(
        max_examples=20, stateful_step_count=40, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=found)
    often = {
        "pending",
        "indexing",
        "success",
        "cancelled",
        "TaskExists",
        "IdTaken",
        "NoSuchTask",
        "TaskOver",
        "StaleLeader",
    }
    assert Model.seen >= often, "what the examples came to"
