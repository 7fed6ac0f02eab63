"""The stack's processes of our own: Dask workers, manager, matcher."""

from __future__ import annotations

import json
import sys
import urllib.request
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from manager.embedded.processes import Child
from manager.embedded.settings_file import OURS

READY_S = 60.0
"""Python processes on a busy laptop may take their time."""


class Ports(NamedTuple):
    """Of our own processes, known before any of them runs, so that they start side by side: each takes seconds."""

    scheduler: int
    matcher: int
    manager: int

    @property
    def scheduler_url(self) -> str:
        return f"tcp://127.0.0.1:{self.scheduler}"

    def places(self) -> dict[str, str | int]:
        """As settings."""
        return {
            "http.matcher_port": self.matcher, "http.manager_port": self.manager, "dask.scheduler": self.scheduler_url,
        }  # fmt: skip


class Wanted(NamedTuple):
    """What is started."""

    workers: int
    """0 = one per core."""
    ports: Ports
    manager: bool


def start_python(
    folder: Path, environ: dict[str, str], children: dict[str, Child], ending: ExitStack, wanted: Wanted
) -> str:
    """Start our own processes, stopped in reverse order; returns the address of the Dask dashboard."""
    ports = wanted.ports
    dask = folder / "dask.json"
    dask.unlink(missing_ok=True)
    cluster = lim(
        "cluster", "--workers", str(wanted.workers), "--port", str(ports.scheduler), "--address-file", str(dask)
    )
    services = {"manager": ports.manager, "matcher": ports.matcher} if wanted.manager else {"matcher": ports.matcher}
    for name, command in {"dask": cluster, **{name: lim(name) for name in services}}.items():
        children[name] = Child(name, command, folder / "logs" / f"{name}.log", environ, without=(OURS,)).start()
        ending.callback(children[name].stop)
    children["dask"].wait_ready(dask.exists, READY_S)
    for name, port in services.items():
        children[name].wait_ready(partial(healthy, port), READY_S)
    return str(json.loads(dask.read_text())["dashboard"])


def lim(*arguments: str) -> list[str]:
    """The command line of a `lim` command in this environment."""
    return [sys.executable, "-m", "configs.cli", *arguments]


def healthy(port: int) -> bool:
    """Whether a service says that it is ready."""
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/healthcheck", timeout=2) as reply:
        return bool(reply.status == 200)
    return False
