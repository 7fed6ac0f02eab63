"""Real schedulers, indexers and builds for tests: processes that are killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from waiting import wait_until

from manager.embedded.processes import Child, free_port

SMALL = {
    "LIM_BUILD__PARTITION_ROWS": "500", "LIM_BUILD__SAMPLE_ROWS": "4000", "LIM_BUILD__RECIPE": "scan",
    "LIM_QUALITY__MATED_PROBES": "1500", "LIM_QUALITY__NON_MATES": "500", "LIM_QUALITY__ADDED_FNIR": "0.003",
}  # fmt: skip
"""Settings of a build of 6,000 rows."""


@dataclass
class Indexer:
    """A running `lim indexer`."""

    child: Child
    port: int

    def ask(
        self, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON or text, headers of an answer; (0, "", {}) while nothing listens."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers or {})
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310 - our own address
                return reply.status, _parsed(reply.read()), dict(reply.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _parsed(error.read()), dict(error.headers)
        except OSError:
            return 0, "", {}

    def state(self) -> dict[str, Any]:
        """What it builds."""
        return dict(self.ask("/state")[1])

    def ended(self, timeout_s: float = 60.0) -> dict[str, Any]:
        """How its build ended, once it has."""
        wait_until(lambda: self.state()["state"] == "idle", timeout_s=timeout_s, what="the end of the build")
        return dict(self.state()["last"])

    def worker(self) -> psutil.Process | None:
        """The worker process, if there is one now."""
        return next(iter(workers_of(self.child.pid)), None)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode()


def workers_of(pid: int) -> list[psutil.Process]:
    """Worker processes that a process has started."""
    with suppress(psutil.Error):
        return [one for one in psutil.Process(pid).children() if "spawn_main" in " ".join(_command(one))]
    return []


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


@dataclass
class Nodes:
    """A scheduler with indexers over one bucket, in a folder."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    scheduler: Child | None = None
    indexers: list[Indexer] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Of the scheduler."""
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def bucket(self) -> Path:
        """Where builds publish."""
        return self.folder / "bucket"

    def settings(self) -> dict[str, str]:
        """The environment of every command."""
        return {
            "LIM_SETTINGS": "", "LIM_STORAGE__BUCKET": str(self.bucket), "LIM_DASK__SCHEDULER": self.address,
            "DASK_TEMPORARY_DIRECTORY": str(self.folder / "dask"), "XDG_STATE_HOME": str(self.folder / "state"),
            "LIM_SOURCE__TEMPLATE": str(self.folder / "lists" / "{label}.npy"), **SMALL, **self.environ,
        }  # fmt: skip

    def start_scheduler(self) -> Child:
        """Start it, or start it again, at its address."""
        file = self.folder / "addresses.json"
        file.unlink(missing_ok=True)
        command = [*LIM, "scheduler", "--port", str(self.port), "--dashboard-port", "0", "--address-file", str(file)]
        self.scheduler = Child("scheduler", command, self.folder / "scheduler.log", self.settings()).start()
        return self.scheduler.wait_ready(file.exists)

    def start_indexer(self, *arguments: str, **environ: str) -> Indexer:
        """An indexer that answers; it may not have joined yet."""
        port, name = free_port(), f"indexer-{len(self.indexers)}"
        command = [*LIM, "indexer", "--port", str(port), "--origin", f"http://{name}:5180", "--slots", "1", *arguments]
        child = Child(name, command, self.folder / f"{name}.log", self.settings() | environ).start()
        indexer = Indexer(child, port)
        self.indexers.append(indexer)
        child.wait_ready(lambda: indexer.ask("/version")[0] == 200)
        return indexer

    def wait_joined(self, timeout_s: float = 30.0) -> None:
        """Until every indexer has a worker in the cluster."""
        for one in self.indexers:
            wait_until(
                lambda one=one: one.ask("/healthcheck")[0] == 200, timeout_s=timeout_s, what=f"{one.child.name} joining"
            )

    def build(self, source: Path, *arguments: str, **environ: str) -> subprocess.Popen[bytes]:
        """`lim build` on the cluster, just started."""
        return subprocess.Popen(
            [*LIM, "build", str(source), "--label", "list", "--json", "-", *arguments],
            env={**os.environ, **self.settings(), **environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def done(self, stage: str) -> int:
        """Items of a stage that have their marker."""
        return len(list(self.bucket.glob(f"work/*/done/{stage}/*")))


LIM = (sys.executable, "-m", "configs.cli")


@contextmanager
def nodes(folder: Path, indexers: int = 2, **environ: str) -> Iterator[Nodes]:
    """A cluster that has joined, ended with the block."""
    found = Nodes(folder, environ)
    try:
        found.start_scheduler()
        for _ in range(indexers):
            found.start_indexer()
        found.wait_joined()
        yield found
    finally:
        for one in found.indexers:
            one.child.stop(timeout_s=30)
        if found.scheduler:
            found.scheduler.stop()


def figures(build: subprocess.Popen[bytes], timeout_s: float = 120) -> dict[str, Any]:
    """What a build that must succeed wrote."""
    out, err = build.communicate(timeout=timeout_s)
    assert build.returncode == 0, err.decode()[-3000:]
    return dict(json.loads(out))


def kill(process: psutil.Process) -> None:
    """SIGKILL, if it is still there."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGKILL)
