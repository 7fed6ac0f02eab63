"""`lim submit`, `tasks`, `cancel`, `labels`, `rollback` as a person types them, against a real manager."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from click.testing import CliRunner
from managers import Manager, managers
from waiting import wait_until

from configs.cli import lim

TOKEN, READ_TOKEN = "the-token-that-starts-work", "the-token-that-only-reads"
DIM = 16


@dataclass
class World:
    """A manager with tokens, its lists, and commands that ask it."""

    manager: Manager
    folder: Path

    def put(self, label: str, rows: int, seed: int = 1) -> None:
        """Write a list; of seed 0 no row can be indexed."""
        path = self.folder / "lists" / f"{label}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, np.random.default_rng(seed).standard_normal((rows, DIM)).astype(np.float32) * bool(seed))

    def lim(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command."""
        known = {"LIM_SETTINGS": "", "LIM_MANAGER__ORIGIN": self.manager.url, "LIM_HTTP__TOKEN": TOKEN}
        done = subprocess.run(
            [sys.executable, "-m", "configs.cli", *arguments],
            env={**os.environ, **known, **environ}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def json(self, *arguments: str, code: int = 0) -> Any:
        """What a command prints with --json; `code` is what it must end with."""
        done = self.lim(*arguments, "--json")
        assert done.returncode == code, (done.stdout, done.stderr)
        return json.loads(done.stdout)

    def said(self, *arguments: str, code: int = 0, **environ: str) -> str:
        """What it prints for people, errors included, without the breaks of lines."""
        done = self.lim(*arguments, **environ)
        assert done.returncode == code, (done.stdout, done.stderr)
        return " ".join((done.stdout + done.stderr).split())


@pytest.fixture(scope="module")
def world(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    folder = tmp_path_factory.mktemp("commands")
    environ = {
        "LIM_HTTP__TOKEN": TOKEN, "LIM_HTTP__READ_TOKEN": READ_TOKEN, "LIM_BUILD__FORCE": "true",
        "LIM_BUILD__RECIPE": "exact", "LIM_MANAGER__BUILDS_AT_ONCE": "1", "LIM_DASK__SCHEDULER": "serial",
        "LIM_QUALITY__MATED_PROBES": "50", "LIM_QUALITY__NON_MATES": "50",
    }  # fmt: skip
    with managers(folder, valkey_url, 0, **environ) as group:
        yield World(group.start(), folder)


@pytest.mark.timeout(120)
def test_from_a_submission_to_a_roll_back(world: World) -> None:
    world.put("people [1]", 400)
    first = world.json("submit", "people [1]", "--source", f"{world.folder}/lists/people [1].npy", "--wait")
    assert (first["status"], first["rows"], first["already"]) == ("success", 400, None)
    assert first["submitted_by"].startswith("lim submit")
    source = ["--source", f"{world.folder}/lists/people [1].npy"]
    again = world.json("submit", "people [1]", *source, "--wait")
    assert (again["task_id"], again["already"]) == (first["task_id"], "indexed")
    assert "holds this content already: --again" in world.said("submit", "people [1]", *source)
    world.put("people [1]", 500, seed=2)
    assert ": task second is done: 500 rows" in world.said(
        "submit", "people [1]", *source, "--task-id", "second", "--wait"
    )
    assert [one["task_id"] for one in world.json("tasks", "--label", "people [1]")["tasks"]] == [
        "second",
        first["task_id"],
    ]
    table = world.said("tasks", "--status", "success")
    assert all(word in table for word in ("people [1]", "second", "success", "500"))
    assert "digest" in world.said("tasks", "second")

    (row,) = world.json("labels", "--prefix", "people [1]")["labels"]
    assert (row["label"], row["index"]["index_id"], row["versions"]) == ("people [1]", "second", 2)
    assert "people [1]" in world.said("labels")
    shown = world.said("labels", "people [1]")
    assert "serves" in shown
    assert "served before" in shown
    assert f"{first['task_id']} would serve instead of second" in world.said("rollback", "people [1]", "--dry-run")
    assert world.json("labels", "people [1]")["index_id"] == "second"
    rolled = world.json("rollback", "people [1]")
    assert (rolled["served"], rolled["serves"], rolled["index_id"]) == ("second", first["task_id"], first["task_id"])
    assert "second serves instead of" in world.said("rollback", "people [1]", "--to", "second")
    assert "second serves already" in world.said("rollback", "people [1]", "--to", "second")
    assert "expected an index with its manifest" in world.said("rollback", "people [1]", "--to", "absent", code=1)


@pytest.mark.timeout(120)
def test_waiting_cancelling_and_their_exit_codes(world: World) -> None:
    world.put("slow", 60_000)
    world.put("next", 300)
    options = ["--option", "build.recipe=scan", "--option", "quality.mated_probes=10000"]
    slow = world.json("submit", "slow", *options)["task_id"]
    wait_until(lambda: world.manager.ask(f"/1/tasks/{slow}", headers=bearer())[1]["status"] == "indexing", timeout_s=30)
    waits = world.json("submit", "next")
    assert (waits["status"], world.json("submit", "next")["already"]) == ("pending", "queued")
    assert world.json("submit", "next", "--wait", "--timeout", "0.1", code=5)["status"] == "pending"
    assert world.json("tasks", waits["task_id"], "--priority", "7")["tasks"][0]["priority"] == 7
    assert [one["task_id"] for one in world.json("tasks", "--status", "pending")["tasks"]] == [waits["task_id"]]
    assert f"next: task {waits['task_id']} was cancelled" in world.said("cancel", waits["task_id"])
    ended = world.json("cancel", slow, "absent", "--wait", code=1)
    assert [one["status"] for one in ended["tasks"]] == ["cancelled"]
    assert [one["error_code"] for one in ended["errors"]] == [26220]
    assert f"slow: task {slow} was cancelled" in world.said("tasks", slow, "--wait", code=4)
    assert world.json("tasks", waits["task_id"], "--retry", "--wait")["tasks"][0]["status"] == "success"
    assert world.json("tasks", waits["task_id"], slow, "--wait", code=4)["tasks"][0]["rows"] == 300
    assert "from which what was asked for cannot happen" in world.said("cancel", waits["task_id"], code=1)


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.timeout(120)
def test_a_task_that_ends_in_error_is_told(world: World) -> None:
    world.put("zeros", 300, seed=0)
    said = world.said("submit", "zeros", "--wait", code=3)
    assert "zeros: task" in said
    assert "ended in error 26105 (list is empty)" in said
    assert "zeros: error" in said  # the last step that was shown
    assert "found nothing" in world.said("submit", "absent", "--wait", code=1)


def test_tokens(world: World) -> None:
    read_only = {"LIM_HTTP__TOKEN": "", "LIM_HTTP__READ_TOKEN": READ_TOKEN}
    assert "label" in world.said("labels", LIM_HTTP__TOKEN=READ_TOKEN)
    assert "which reads only" in world.said("submit", "x", code=1, LIM_HTTP__TOKEN=READ_TOKEN)
    said = world.said("tasks", code=1, LIM_HTTP__TOKEN="another-token-than-that")
    assert "LIM_HTTP__TOKEN" in said
    assert "another-token" not in said
    assert READ_TOKEN not in world.said("tasks", **read_only, code=0)


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit"],
        ["submit", "a", "--option", "b"],
        ["cancel"],
        ["rollback"],
        ["tasks", "--wait"],
        ["tasks", "--retry"],
        ["tasks", "--status", "x"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    done = CliRunner().invoke(lim, arguments)
    assert (done.exit_code, done.output.startswith("Usage: lim")) == (2, True)
