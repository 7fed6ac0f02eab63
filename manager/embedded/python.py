"""The stack's processes of our own: Dask workers, manager, matcher."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from manager.embedded.processes import Child, free_port
from manager.embedded.settings_file import OURS

READY_S = 60.0
"""Python processes on a busy laptop may take their time."""


class Ports(NamedTuple):
    """Of our own processes, known before any of them runs, so that they start side by side: each takes seconds."""

    scheduler: int
    dashboard: int
    matcher: int
    manager: int
    """0 = none is wanted."""

    @property
    def scheduler_url(self) -> str:
        return f"tcp://127.0.0.1:{self.scheduler}"

    @property
    def dashboard_url(self) -> str:
        return f"http://127.0.0.1:{self.dashboard}"

    @property
    def manager_url(self) -> str:
        return f"http://127.0.0.1:{self.manager}" if self.manager else ""

    @property
    def services(self) -> dict[str, int]:
        """Those with a health check, in the order of their start."""
        return {"manager": self.manager, "matcher": self.matcher} if self.manager else {"matcher": self.matcher}

    def places(self) -> dict[str, str | int]:
        """As settings."""
        return {
            "http.matcher_port": self.matcher, "http.manager_port": self.manager, "dask.scheduler": self.scheduler_url,
            "dask.dashboard": self.dashboard_url, "manager.origin": self.manager_url,
        }  # fmt: skip


def some_ports(*, manager: bool) -> Ports:
    """Free ones."""
    return Ports(free_port(), free_port(), free_port(), free_port() if manager else 0)


def start_python(folder: Path, environ: dict[str, str], ports: Ports, workers: int) -> Iterator[Child]:
    """Start our own processes side by side, then wait for each; every one is given out as soon as it is started."""
    dask = folder / "dask.json"
    dask.unlink(missing_ok=True)
    cluster = lim(
        "cluster", "--workers", str(workers), "--port", str(ports.scheduler), "--dashboard-port", str(ports.dashboard),
        "--address-file", str(dask),
    )  # fmt: skip
    started = {}
    for name, command in {"dask": cluster, **{name: lim(name) for name in ports.services}}.items():
        started[name] = Child(name, command, folder / "logs" / f"{name}.log", environ, without=(OURS,)).start()
        yield started[name]
    started["dask"].wait_ready(dask.exists, READY_S)
    for name, port in ports.services.items():
        started[name].wait_ready(partial(healthy, port), READY_S)


def lim(*arguments: str) -> list[str]:
    """The command line of a `lim` command in this environment."""
    return [sys.executable, "-m", "configs.cli", *arguments]


def healthy(port: int) -> bool:
    """Whether a service says that it is ready."""
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/healthcheck", timeout=2) as reply:
        return bool(reply.status == 200)
    return False
