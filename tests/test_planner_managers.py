"""Managers that plan by themselves: what they index, and that a change of leader indexes nothing twice."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from managers import Manager, managers
from waiting import wait_until

PLANNED = {
    "LIM_MANAGER__LISTS": "dynamic", "LIM_MANAGER__MIN_LIST_ROWS": "300", "LIM_MANAGER__PLANNING_PERIOD_S": "0.5",
    "LIM_BUILD__FORCE": "true", "LIM_BUILD__RECIPE": "exact", "LIM_DASK__SCHEDULER": "serial",
    "LIM_QUALITY__MATED_PROBES": "50", "LIM_QUALITY__NON_MATES": "50",
}  # fmt: skip


def put(folder: Path, label: str, rows: int, seed: int = 1) -> None:
    (folder / "lists").mkdir(exist_ok=True)
    part = folder / f"{label}.npy"
    np.save(part, np.random.default_rng(seed).standard_normal((rows, 16)).astype(np.float32))
    part.rename(folder / "lists" / part.name)  # whole or not at all


def tasks(manager: Manager) -> list[dict[str, Any]]:
    status, said = manager.ask("/1/tasks")
    assert status == 200, said
    return list(said["tasks"])


@pytest.mark.timeout(120)
def test_what_is_due_is_indexed_whoever_leads_and_once(tmp_path: Path, redis_url: str) -> None:
    for label, rows in (("small", 300), ("large", 301)):
        put(tmp_path, label, rows)

    def rounds_of(manager: Manager) -> bool:
        """Whether its log has two rounds that found nothing to do, the lists being fresh."""
        return manager.said("0 due, 0 submitted") >= 2

    def built(manager: Manager, count: int) -> bool:
        return [one["status"] for one in tasks(manager)] == ["success"] * count

    with managers(tmp_path, redis_url, 2, **PLANNED) as group:
        leader = group.leader()
        wait_until(lambda: built(leader, 1) and rounds_of(leader), timeout_s=40, what="the large list being indexed")
        (task,) = tasks(leader)
        assert (task["label"], task["rows"], task["submitted_by"]) == ("large", 301, "planner")
        leader.signal(signal.SIGKILL)
        follower = group.leader(but=leader)
        wait_until(lambda: rounds_of(follower), timeout_s=40, what="two rounds of the next leader")
        assert [one["task_id"] for one in tasks(follower)] == [task["task_id"]]
        put(tmp_path, "small", 310, seed=2)
        wait_until(lambda: built(follower, 2), timeout_s=40, what="the list that grew being indexed")
        assert tasks(follower)[0]["label"] == "small"
        _, said = follower.ask("/1/plan")
    plan = said["plan"]
    assert (plan["lists"], plan["counts"]["errors"], plan["errors"], plan["problem"]) == (2, 0, {}, "")
    assert plan["manager"].startswith("http://manager-")
    assert plan["next_time"] > plan["begin_time"]
