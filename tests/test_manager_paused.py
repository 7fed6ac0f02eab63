"""A manager that is paused in the middle of a build, beyond its lease, then woken."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
from managers import LEASE_S, Manager, Managers, managers
from waiting import wait_until

from pipeline.artifact import open_store, read_head, read_manifest
from pipeline.generate.faces import Generator

pytestmark = [pytest.mark.drill, pytest.mark.timeout(300)]

LABEL = "people"


def build_of(group: Managers, stage: str) -> str:
    """A task whose build has done an item of this stage."""
    (group.folder / "lists").mkdir()
    np.save(group.folder / "lists" / f"{LABEL}.npy", Generator("wide", 3, dim=128).chunk(0, 6_000)[0])
    task_id = group.running[0].submit(LABEL)
    wait_until(lambda: list(group.bucket.glob(f"work/*/done/{stage}/*")), timeout_s=120, what=f"an item of {stage}")
    return task_id


def drivers(manager: Manager) -> list[psutil.Process]:
    """Processes that build for it, with the workers that they started."""
    return psutil.Process(manager.child.pid).children(recursive=True)


@pytest.mark.parametrize("stage", ["extract", "evaluate"])
def test_a_manager_woken_after_its_lease_harms_nothing(stage: str, redis_url: str, tmp_path: Path) -> None:
    with managers(tmp_path, redis_url, 2, LIM_MANAGER__WHOLE_ROWS="0") as group:
        old = group.leader()
        task_id = build_of(group, stage)
        building = drivers(old)
        assert building
        old.signal(signal.SIGSTOP)
        new = group.leader(but=old, timeout_s=2 * LEASE_S)
        _, alive = psutil.wait_procs(building, timeout=2 * LEASE_S)
        assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == [], "its builds end without it"
        task = new.wait_status(task_id, "success", "error", "cancelled", timeout_s=200)
        assert (task["status"], task["indexer"] == "") == ("success", False), task
        store = open_store(str(group.bucket))
        head, etag = read_head(store, LABEL)
        assert (head.index_id, head.fences) == (task_id, {"build": 2})
        old.signal(signal.SIGCONT)
        wait_until(lambda: old.said("what the leader did is stopped"), what="the old leader stopping")
        wait_until(lambda: old.said("does not lead any more"), what="its end as a leader")
        wait_until(lambda: not drivers(old), what="the end of its processes")
        assert read_head(store, LABEL) == (head, etag), "it wrote no head"
        assert new.task(task_id) == task, "it moved no task"
        assert read_manifest(store, LABEL, task_id).content_digest == task["digest"]
        assert new.leads()
        assert old.wait_status(task_id, "success")["digest"] == task["digest"]
