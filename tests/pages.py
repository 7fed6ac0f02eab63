"""A cluster that shows its builds, and a visitor of its pages who is no browser."""

from __future__ import annotations

import http.client
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
from waiting import wait_until

from manager.embedded.processes import Child
from manager.embedded.python import lim
from pipeline.generate.faces import Generator

QUICK = "build.partition_rows=1000\nquality.mated_probes=600\nquality.non_mates=300\nquality.added_fnir=0.01"
"""Options of a build that is done in a few seconds."""


@dataclass
class Reply:
    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Visitor:
    """Follows no redirects, keeps no cookies but those given in `headers`."""

    base: str
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> Reply:
        place = urlsplit(self.base)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        try:
            sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read().decode())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, **headers)

    def form(self, path: str, fields: dict[str, str], **headers: str) -> Reply:
        body = urlencode(fields)
        return self.ask("POST", path, body, Content_Type="application/x-www-form-urlencoded", **headers)

    def form_token(self, path: str = "/lim") -> str:
        found = re.search(r'name="form_token" value="(\w+)"', self.get(path).text)
        assert found, path
        return found[1]

    def json(self, path: str, value: object = None, **headers: str) -> Reply:
        return self.ask("POST", path, json.dumps(value), Content_Type="application/json", **headers)

    def build(self, run: str) -> dict[str, Any]:
        """One build as data."""
        found: dict[str, Any] = self.get(f"/lim/builds/{run}.json").json
        return found

    def until(self, run: str, *states: str, timeout_s: float = 150) -> dict[str, Any]:
        """The build, once it is in one of the states."""
        wait_until(
            lambda: self.build(run)["state"] in states, timeout_s=timeout_s, what=f"{states} of {self.build(run)}"
        )
        return self.build(run)


@dataclass
class Cluster:
    """A scheduler process with one worker."""

    child: Child
    folder: Path
    scheduler: str
    dashboard: str
    environ: dict[str, str]

    @property
    def visitor(self) -> Visitor:
        return Visitor(self.dashboard)


@contextmanager
def cluster(folder: Path, **environ: str) -> Iterator[Cluster]:
    """`lim cluster` with one worker, the bucket in the folder; `environ` over what the test has."""
    folder.mkdir(parents=True, exist_ok=True)
    environ = {"LIM_STORAGE__BUCKET": str(folder / "bucket"), **environ}
    address = folder / "dask.json"
    address.unlink(missing_ok=True)
    command = lim("cluster", "--workers", "1", "--address-file", str(address))
    child = Child("cluster", command, folder / "cluster.log", environ, without=("LIM_",)).start()
    try:
        child.wait_ready(address.exists, 60)
        found = json.loads(address.read_text())
        yield Cluster(child, folder, found["scheduler"], found["dashboard"].removesuffix("/status"), environ)
    finally:
        child.stop()


@contextmanager
def lonely(folder: Path, **environ: str) -> Iterator[Cluster]:
    """A scheduler that Dask's own command started with our preload; no worker ever joins it."""
    folder.mkdir(parents=True, exist_ok=True)
    environ = {"LIM_STORAGE__BUCKET": str(folder / "bucket"), **environ}
    address = folder / "scheduler.json"
    address.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address",
        "127.0.0.1:0", "--scheduler-file", str(address), "--preload", "pipeline.pages.install",
    ]  # fmt: skip
    child = Child("scheduler", command, folder / "scheduler.log", environ, without=("LIM_",)).start()
    try:
        child.wait_ready(lambda: address.exists() and address.read_text().endswith("}"), 60)
        found = json.loads(address.read_text())
        port = found["services"]["dashboard"]
        yield Cluster(child, folder, found["address"], f"http://127.0.0.1:{port}", environ)
    finally:
        child.stop()


def gallery(folder: Path, rows: int = 2_000, name: str = "faces.npy") -> Path:
    """Face-like rows in a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    np.save(path, Generator("mixture", 5).chunk(0, rows)[0])
    return path
