"""The manager as it is judged: leaders killed in each stage of a build, a thousand tasks from four clients."""

from __future__ import annotations

import os
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import redis
from estate import SLOTS, Estate, estate, shown
from managers import Manager
from waiting import wait_until

from manager.embedded.seaweed import S3
from manager.tasks.keys import OF_STATUS
from manager.tasks.task import OPEN
from pipeline.artifact import read_head, read_manifest
from pipeline.generate.faces import Generator
from pipeline.stages import BUILD

pytestmark = [pytest.mark.drill, pytest.mark.timeout(7_200)]

TASKS = int(os.environ.get("LIM_TEST_TASKS", "1000"))
LABELS, CLIENTS, ROWS = 50, 4, 1_000
LEASE_S = float(os.environ.get("LIM_TEST_LEASE_S", "4"))

MOST_CPU_S = 0.020
"""Of a manager, for each task."""

TAIL_S = 60.0


@pytest.fixture(scope="module")
def killing(valkey_url: str, s3_server: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """A list of twelve partitions, for builds whose leader is killed."""
    folder = tmp_path_factory.mktemp("killing")
    settings = {"LIM_MANAGER__LEASE_S": str(LEASE_S), "LIM_MANAGER__WHOLE_ROWS": "0"}
    with estate(folder, valkey_url, s3_server, uuid.uuid4().hex, **settings) as found:
        np.save(folder / "rows.npy", Generator("wide", 3, dim=128).chunk(0, 6_000)[0])
        yield found


@pytest.mark.parametrize("stage", [stage.name for stage in BUILD])
def test_a_leader_dies_in_a_stage_and_the_other_finishes(killing: Estate, stage: str) -> None:
    group, label = killing.managers, f"people-{stage}"
    (killing.folder / "lists" / f"{label}.npy").hardlink_to(killing.folder / "rows.npy")
    old, before = group.leader(), killing.begun.copy()
    task_id = group.running[0].submit(label)
    wait_until(lambda: in_stage(killing.begun - before, stage), timeout_s=300, what=f"an item of {stage} begun")
    old.child.kill()
    killed = time.monotonic()
    new = group.leader(but=old)
    taken_s = time.monotonic() - killed
    group.running.remove(old)
    group.start(f"manager-after-{stage}")
    task = new.wait_status(task_id, "success", "error", "cancelled", timeout_s=300)
    assert task["status"] == "success", task
    assert task["attempts"] == 1, "a take-over is no attempt"
    begun = killing.begun - before
    extra = sum(begun.values()) - len(begun)
    shown({"stage": stage, "taken_s": round(taken_s, 2), "items": len(begun), "extra": extra})
    assert taken_s <= 2 * LEASE_S
    assert extra <= SLOTS, {item: count for item, count in begun.items() if count > 1}
    assert {item.partition(" ")[0] for item in begun} == {one.name for one in BUILD}
    head, _ = read_head(killing.store, label)
    assert head.index_id == task_id
    assert read_manifest(killing.store, label, task_id).content_digest == task["digest"]
    wait_until(lambda: killing.serving(label) == [task_id] * 2, timeout_s=60, what="both matchers serving it")
    wait_until(lambda: not killing.store.keys("work/"), timeout_s=60, what="an empty work folder")


def in_stage(begun: Counter[str], stage: str) -> bool:
    """Whether an item of the stage was begun."""
    return any(item.partition(" ")[0] == stage for item in begun)


@dataclass
class Clients:
    """Four that submit at once: each content by one of them, some of it again by others."""

    managers: list[Manager]
    wishes: list[dict[str, Any]]
    dice: random.Random
    answers: list[Counter[int]] = field(default_factory=list)
    """Of each client: how often which code came; 0 = taken."""

    def run(self) -> None:
        """Submit everything."""
        self.answers = [Counter() for _ in range(CLIENTS)]
        threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _client(self, number: int) -> None:
        mine, manager = self.wishes[number::CLIENTS], self.managers[number % len(self.managers)]
        dice = random.Random(self.dice.random())
        for wish in mine:
            self._submit(number, manager, wish)
            if dice.random() < 0.2:  # without an id, as somebody else would
                self._submit(number, manager, {key: value for key, value in wish.items() if key != "task_id"})
            if dice.random() < 0.1:  # as after an answer that got lost
                self._submit(number, manager, dice.choice(mine[: mine.index(wish) + 1]))

    def _submit(self, number: int, manager: Manager, wish: dict[str, Any]) -> None:
        status, said = manager.ask("/1/tasks", wish)
        code = said["error_code"] if isinstance(said, dict) and "error_code" in said else status
        self.answers[number][0 if code == 201 else code] += 1


@pytest.fixture
def crowded(redis_url: str, s3_server: S3, tmp_path: Path) -> Iterator[Estate]:
    """A list of a thousand rows for each task; a cluster for builds of them."""
    settings = {
        "LIM_QUALITY__MATED_PROBES": "100", "LIM_QUALITY__NON_MATES": "50", "LIM_QUALITY__ADDED_FNIR": "0.03",
        "LIM_BUILD__RECIPE": "exact", "LIM_MANAGER__LEASE_S": "10", "LIM_MANAGER__LOOKUP_PERIOD_S": "1",
        "LIM_MANAGER__POLL_S": "2", "LIM_MANAGER__BUILDS_AT_ONCE": str(SLOTS),
    }  # fmt: skip
    with estate(tmp_path, redis_url, s3_server, uuid.uuid4().hex, **settings) as found:
        generator = Generator("wide", 3, dim=128)
        for number in range(TASKS):
            np.save(tmp_path / "lists" / f"{number}.npy", generator.chunk(number * ROWS, ROWS)[0])
        yield found


def test_a_thousand_tasks_from_four_clients(crowded: Estate, redis_url: str) -> None:
    group, leader = crowded.managers, crowded.managers.leader()
    wishes = [
        {"list_id": f"label-{number % LABELS}", "source": str(crowded.folder / "lists" / f"{number}.npy"), "task_id": f"t-{number:04d}"}
        for number in range(TASKS)
    ]  # fmt: skip
    clients = Clients(group.running, wishes, random.Random(1))
    processes = [psutil.Process(one.child.pid) for one in group.running]
    before, began = [cpu_s(one) for one in processes], time.monotonic()
    clients.run()
    submitted_s = time.monotonic() - began
    counts = sum(clients.answers, Counter())
    assert counts.keys() <= {0, 26201, 26202}, counts
    wait_for_all(redis_url, timeout_s=6_000)
    spent = [cpu_s(one) - was for one, was in zip(processes, before, strict=True)]
    taken_s = time.monotonic() - began
    begun = crowded.begun
    shown({
        "tasks": TASKS, "submissions": counts.total(), "refused": counts[26201] + counts[26202], "submitted_s": submitted_s,
        "seconds": taken_s, "manager_cpu_ms_per_task": [1e3 * one / TASKS for one in spent], "leader": group.running.index(leader),
        "drivers": [(one.pid, cpu_s(one), one.memory_info().rss >> 20) for process in processes for one in process.children()],
        "most_begun": begun.most_common(1),
    })  # fmt: skip
    assert succeeded(leader) == TASKS
    assert sum(begun.values()) == TASKS, "each content was built once"
    assert sum(1 for key in crowded.store.keys("indexes/") if key.endswith("/meta.json")) == TASKS
    for label in (f"label-{number}" for number in range(min(LABELS, TASKS))):
        head, _ = read_head(crowded.store, label)
        wait_until(lambda: set(crowded.serving(label)) == {head.index_id}, timeout_s=TAIL_S, what=f"{label} served")  # noqa: B023
    assert max(spent) <= MOST_CPU_S * TASKS, "the time of a manager itself"


def wait_for_all(redis_url: str, timeout_s: float) -> None:
    """Until no task is open; asks Redis, since the managers' time is what is measured."""
    until = time.monotonic() + timeout_s
    with redis.Redis.from_url(redis_url) as client:
        while left := sum(client.zcard(OF_STATUS + status) for status in OPEN):
            assert time.monotonic() < until, f"{left} tasks are open after {timeout_s} s"
            time.sleep(0.5)


def succeeded(manager: Manager) -> int:
    """How many tasks ended so."""
    found, cursor = 0, ""
    while True:
        status, page = manager.ask(f"/1/tasks?statuses=success&limit=1000{cursor}")
        assert status == 200, page
        found += len(page["tasks"])
        if not page["next"]:
            return found
        cursor = f"&cursor={page['next']}"


def cpu_s(process: psutil.Process) -> float:
    """What a process has spent itself, without its children."""
    times = process.cpu_times()
    return float(times.user + times.system)
