"""The embedded stack: Redis-protocol server, bucket, Dask workers, matcher, each a process of its own."""

from __future__ import annotations

import json
import os
import secrets
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from manager.embedded.processes import Child, free_port
from manager.embedded.seaweed import start_seaweed
from manager.embedded.valkey import start_valkey

OURS = ("LIM_REDIS__", "LIM_STORAGE__", "LIM_DASK__SCHEDULER", "LIM_HTTP__", "LIM_CACHE__FOLDER", "LIM_SETTINGS")
"""Variables that would lead a child of the stack elsewhere."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Where everything is."""

    folder: Path
    redis_url: str
    bucket: str
    endpoint_url: str
    keys: tuple[str, str] | None
    scheduler: str
    dashboard: str
    matcher_port: int
    children: Mapping[str, Child]

    @property
    def cache(self) -> Path:
        """The matcher's cache."""
        return self.folder / "cache"

    def environ(self) -> dict[str, str]:
        """What makes a `lim` command use this stack."""
        found = {
            "LIM_REDIS__URL": self.redis_url, "LIM_STORAGE__BUCKET": self.bucket, "LIM_STORAGE__ENDPOINT_URL": self.endpoint_url,
            "LIM_DASK__SCHEDULER": self.scheduler, "LIM_CACHE__FOLDER": str(self.cache), "LIM_HTTP__MATCHER_PORT": str(self.matcher_port),
        }  # fmt: skip
        if self.keys:
            found |= {"AWS_ACCESS_KEY_ID": self.keys[0], "AWS_SECRET_ACCESS_KEY": self.keys[1]}
        return found

    def settings_file(self) -> str:
        """The same as TOML, for commands in other terminals."""
        lines = [
            f"# pid {os.getpid()}", "# written by `lim up`, removed when it ends",
            "[redis]", f"url = {json.dumps(self.redis_url)}",
            "[storage]", f"bucket = {json.dumps(self.bucket)}", f"endpoint_url = {json.dumps(self.endpoint_url)}",
        ]  # fmt: skip
        if self.keys:
            lines += [f"access_key = {json.dumps(self.keys[0])}", f"secret_key = {json.dumps(self.keys[1])}"]
        lines += [
            "[dask]", f"scheduler = {json.dumps(self.scheduler)}", "[http]", f"matcher_port = {self.matcher_port}",
            "[cache]", f"folder = {json.dumps(str(self.cache))}",
        ]  # fmt: skip
        return "\n".join(lines) + "\n"


def lim(*arguments: str) -> list[str]:
    """The command line of a `lim` command in this environment."""
    return [sys.executable, "-m", "configs.cli", *arguments]


@contextmanager
def running(folder: Path, *, s3: bool = False, workers: int = 0) -> Iterator[Stack]:
    """The stack, with its data in `folder`; everything has stopped when the block ends."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        del os.environ[name]
    logs = folder / "logs"
    children: dict[str, Child] = {}
    with ExitStack() as stack:
        children["valkey"], redis_url = start_valkey(folder / "redis", logs / "valkey.log")
        stack.callback(children["valkey"].stop)
        bucket, endpoint, keys = str(folder / "bucket"), "", None
        if s3:
            server = start_seaweed(folder / "s3", logs / "s3.log", keys=_kept_keys(folder))
            children["s3"] = server.child
            stack.callback(server.child.stop)
            bucket, endpoint, keys = server.url, server.endpoint, (server.access_key, server.secret_key)
        else:
            Path(bucket).mkdir(parents=True, exist_ok=True)
        children["cluster"], addresses = _cluster(folder, logs, workers)
        stack.callback(children["cluster"].stop)
        found = Stack(
            folder, redis_url, bucket, endpoint, keys, addresses["scheduler"], addresses["dashboard"], free_port(), children
        )  # fmt: skip
        # a worker reads the source and the bucket with the same keys
        os.environ.update({name: value for name, value in found.environ().items() if name.startswith("AWS_")})
        children["matcher"] = start_matcher(found, logs / "matcher.log")
        stack.callback(children["matcher"].stop)
        yield found


def start_matcher(stack: Stack, log: Path) -> Child:
    """A matcher of the stack, once it is ready."""
    child = Child("matcher", lim("matcher", "--port", str(stack.matcher_port)), log, stack.environ()).start()
    return child.wait_ready(lambda: healthy(stack.matcher_port), 60.0)


def healthy(port: int) -> bool:
    """Whether a matcher says that it is ready."""
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/healthcheck", timeout=2) as reply:
        return bool(reply.status == 200)
    return False


def _cluster(folder: Path, logs: Path, workers: int) -> tuple[Child, dict[str, str]]:
    file = folder / "dask.json"
    file.unlink(missing_ok=True)
    child = Child(
        "dask", lim("cluster", "--workers", str(workers), "--address-file", str(file)), logs / "dask.log"
    ).start()
    child.wait_ready(file.exists, 60.0)
    return child, json.loads(file.read_text())


def _kept_keys(folder: Path) -> tuple[str, str]:
    """The S3 server of a folder must always be started with keys, so they are kept beside its data."""
    file = folder / "s3.keys"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(f"{secrets.token_hex(8)} {secrets.token_hex(16)}")
    access, secret = file.read_text().split()
    return access, secret
