"""The embedded stack: Redis-protocol server, bucket, Dask workers, manager, matcher, each a process of its own."""

from __future__ import annotations

import fcntl
import os
import secrets
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from configs.load import Loaded
from configs.settings import Storage
from manager.embedded.interrupting import cleaning_up
from manager.embedded.processes import Child, StackError
from manager.embedded.python import some_ports, start_python
from manager.embedded.seaweed import start_seaweed
from manager.embedded.settings_file import settings_text, write_private
from manager.embedded.valkey import start_valkey


@dataclass(frozen=True, slots=True)
class Stack:
    """Where everything is."""

    folder: Path
    redis_url: str
    storage: Storage
    """The bucket, without keys: they are in `environ`."""
    scheduler: str
    dashboard: str
    matcher_port: int
    manager_port: int
    settings: Path
    """A settings file that leads to all of it."""
    environ: dict[str, str] = field(repr=False)
    """What a `lim` command needs in its environment to use this stack."""
    children: Mapping[str, Child]

    @property
    def logs(self) -> Path:
        """Folder of the children's logs."""
        return self.folder / "logs"

    @property
    def matcher_url(self) -> str:
        """The matcher's HTTP address."""
        return f"http://127.0.0.1:{self.matcher_port}"

    @property
    def manager_url(self) -> str:
        """The manager's HTTP address: API and pages."""
        return f"http://127.0.0.1:{self.manager_port}"

    def page(self, path: str) -> str:
        """A page of the matcher."""
        with urllib.request.urlopen(f"{self.matcher_url}{path}", timeout=30) as reply:  # noqa: S310 - our own process
            return str(reply.read().decode())

    def check(self) -> None:
        """Raises StackError when one of the processes has ended: half a stack is none."""
        for child in self.children.values():
            child.check()

    def ending(self) -> None:
        """What was to be done is over: another Ctrl-C only makes the processes end faster."""
        cleaning_up(self.children.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How a stack is wanted."""

    s3: bool = False
    """A real S3 server instead of a folder as bucket."""
    workers: int = 0
    """0 = one per core."""
    kept: bool = False
    """Whether Redis writes a log, because somebody will start a stack in this folder again."""
    manager: bool = True
    """Whether there is one; what is measured without it has the machine to itself."""


@contextmanager
def running(folder: Path, loaded: Loaded, wanted: Wanted | None = None) -> Iterator[Stack]:
    """The stack, with its data in `folder`; everything has stopped, matcher first, when the block ends.

    Settings in force beyond addresses are taken over.  Raises StackError when a process does not start,
    or when another stack runs in this folder.
    """
    folder = folder.absolute()
    children: dict[str, Child] = {}
    with _alone(folder), ExitStack() as stack:
        try:
            yield _started(folder, loaded, stack, children, wanted or Wanted())
        finally:
            cleaning_up(children.values())


def _started(folder: Path, loaded: Loaded, ending: ExitStack, children: dict[str, Child], wanted: Wanted) -> Stack:
    """Start everything; `children` gets each process, `ending` how it is stopped."""
    logs = folder / "logs"
    redis = start_valkey(folder / "redis", logs / "valkey.log", kept=wanted.kept)
    ending.callback(redis.stop)
    children["valkey"], storage, keys = redis.child, Storage(bucket=str(folder / "bucket")), {}
    if wanted.s3:
        server = start_seaweed(folder / "s3", logs / "s3.log", keys=_kept_keys(folder))
        ending.callback(server.stop)
        children["s3"], storage = server.child, Storage(bucket=server.url, endpoint_url=server.endpoint)
        keys = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
    else:
        Path(storage.bucket).mkdir(exist_ok=True)
    environ = keys | {"LIM_SETTINGS": str(folder / "settings.toml"), "DASK_TEMPORARY_DIRECTORY": str(folder / "dask")}
    ports = some_ports(manager=wanted.manager)
    write_private(
        folder / "settings.toml", settings_text(loaded, _places(folder, redis.url, storage, keys) | ports.places())
    )
    for child in start_python(folder, environ, ports, wanted.workers):
        children[child.name] = child
        ending.callback(child.stop)
    return Stack(
        folder, redis.url, storage, ports.scheduler_url, f"{ports.dashboard_url}/status", ports.matcher, ports.manager,
        folder / "settings.toml", environ, children,
    )  # fmt: skip


def _places(folder: Path, redis_url: str, storage: Storage, keys: Mapping[str, str]) -> dict[str, str | int]:
    """Without an S3 server of the stack's own, endpoint and keys in force stay: a source may need them."""
    found: dict[str, str | int] = {
        "redis.url": redis_url, "storage.bucket": storage.bucket, "cache.folder": str(folder / "cache"), "http.host": "127.0.0.1",
    }  # fmt: skip
    if keys:
        found |= {"storage.endpoint_url": storage.endpoint_url, "storage.region": storage.region}
        found["storage.access_key"], found["storage.secret_key"] = keys.values()
    return found


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two stacks in one folder would destroy each other's data; the kernel drops the lock with its holder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise StackError(
            f"{folder}: expected a folder that can be written, got: {error.strerror}; give another"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StackError(
                f"{folder}: a stack (process {lock.read() or 'unknown'}) runs in it already: use that one, stop it, "
                "or give another folder"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _kept_keys(folder: Path) -> tuple[str, str]:
    """The S3 server of a folder must always be started with keys, so they are kept beside its data."""
    file = folder / "s3.keys"
    if not file.exists():
        write_private(file, f"{secrets.token_hex(8)} {secrets.token_hex(16)}")
    access, secret = file.read_text().split()
    return access, secret
