"""Real managers for tests: processes that are paused, killed, started again."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nodes import SMALL
from waiting import wait_until

from manager.embedded.processes import Child, free_port

LEASE_S = 2.0
"""Short, so that tests need not wait long for a take-over."""

QUICK = {
    "LIM_MANAGER__LEASE_S": str(LEASE_S), "LIM_MANAGER__LOOKUP_PERIOD_S": "0.1", "LIM_MANAGER__POLL_S": "0.2",
    "LIM_MANAGER__RETRY_S": "0.2", "LIM_MANAGER__RETENTION_PERIOD_S": "0",
}  # fmt: skip


@dataclass
class Manager:
    """A running `lim manager`."""

    child: Child
    port: int

    @property
    def url(self) -> str:
        """Of its API and pages."""
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self, path: str, body: object = None, method: str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status with the JSON or text of an answer; (0, "") while nothing listens."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url + path, data, sent, method=method)  # noqa: S310 - our own address
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310 - our own address
                return reply.status, _parsed(reply.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _parsed(error.read())
        except OSError:
            return 0, ""

    def submit(self, label: str, **fields: Any) -> str:
        """Queue a build of the list; returns the task's id."""
        status, said = self.ask("/1/tasks", {"list_id": label, **fields})
        assert status in (200, 201, 202), said
        return str(said["task_id"])

    def task(self, task_id: str) -> dict[str, Any]:
        """A task as the API shows it."""
        status, said = self.ask(f"/1/tasks/{task_id}")
        assert status == 200, said
        return dict(said)

    def wait_status(self, task_id: str, *wanted: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """A task once it is in one of these states."""
        wait_until(
            lambda: self.task(task_id)["status"] in wanted, timeout_s=timeout_s, what=f"{task_id} being {wanted}"
        )
        return self.task(task_id)

    def said(self, words: str) -> int:
        """How often its log has these words."""
        return self.child.log.read_text(errors="replace").count(words) if self.child.log.exists() else 0

    def leads(self) -> bool:
        """Whether it lives and leads, as its log has it: one that is paused says so still."""
        alive = self.child.process is not None and self.child.process.poll() is None
        return alive and self.said("leads with fence") > self.said("does not lead any more")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        os.kill(self.child.pid, number)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode()


@dataclass
class Managers:
    """Starts managers over one bucket and one Redis; `managers` below stops them."""

    folder: Path
    redis_url: str
    environ: dict[str, str] = field(default_factory=dict)
    running: list[Manager] = field(default_factory=list)

    @property
    def bucket(self) -> Path:
        """Where builds publish, the same as of `nodes` and `matchers` of this folder."""
        return self.folder / "bucket"

    def settings(self) -> dict[str, str]:
        """The environment of a manager: one worker of the build's own, unless `environ` names a scheduler."""
        return {
            "LIM_SETTINGS": "", "LIM_REDIS__URL": self.redis_url, "LIM_STORAGE__BUCKET": str(self.bucket),
            "LIM_SOURCE__TEMPLATE": str(self.folder / "lists" / "{label}.npy"), "LIM_DASK__WORKERS": "1",
            "LIM_CACHE__FOLDER": str(self.folder / "cache"), "DASK_TEMPORARY_DIRECTORY": str(self.folder / "dask"),
            "XDG_STATE_HOME": str(self.folder / "state"), **SMALL, **QUICK, **self.environ,
        }  # fmt: skip

    def begin(self, name: str = "", **environ: str) -> Manager:
        """A manager that has just been started."""
        port, name = free_port(), name or f"manager-{len(self.running)}"
        command = [sys.executable, "-m", "configs.cli", "manager", "--port", str(port), "--origin", f"http://{name}"]
        child = Child(name, command, self.folder / f"{name}.log", self.settings() | environ)
        found = Manager(child.start(), port)
        self.running.append(found)
        return found

    def start(self, name: str = "", **environ: str) -> Manager:
        """A manager that answers; another may lead."""
        found = self.begin(name, **environ)
        found.child.wait_ready(lambda: found.ask("/healthcheck")[0] == 200)
        return found

    def leader(self, *, but: Manager | None = None, timeout_s: float = 20.0) -> Manager:
        """The one that leads, once one does; another than `but`."""
        found: list[Manager] = []

        def look() -> bool:
            found[:] = [one for one in self.running if one is not but and one.leads()]
            return bool(found)

        wait_until(look, timeout_s=timeout_s, what="one manager leading")
        return found[0]


@contextmanager
def managers(folder: Path, redis_url: str, count: int = 0, **environ: str) -> Iterator[Managers]:
    """Managers that end with the block; none may have written a traceback."""
    group = Managers(folder, redis_url, environ)
    try:
        for one in [group.begin() for _ in range(count)]:
            one.child.wait_ready(lambda one=one: one.ask("/healthcheck")[0] == 200)
        yield group
    finally:
        for one in group.running:
            with suppress(ProcessLookupError):
                one.signal(signal.SIGCONT)
            one.child.stop()
    for one in group.running:
        assert "Traceback" not in one.child.log.read_text(errors="replace"), one.child.log.read_text(errors="replace")
