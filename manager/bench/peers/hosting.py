"""An engine's process as seen from the bench: asked with a deadline, gone when it is over."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from configs.errors import LimError
from manager.bench.peers.engine import Site, Unavailable
from manager.embedded.processes import dying_with_us

LAST_LINES = 5
CLOSE_S = 20.0


class TookTooLong(LimError):
    """The engine's time was over before it answered."""


class EngineFailed(LimError):
    """The engine raised, or its process died; the message has the reason."""


class Host:
    """The process.  Start it from the main thread: the kernel counts the thread that started it as the parent."""

    def __init__(self, name: str, site: Site, log: Path) -> None:
        self.name = name
        self._log = log
        self._line, theirs = socket.socketpair()
        self._rest = b""
        self._busy = False
        words = [
            sys.executable,
            "-m",
            "manager.bench.peers.worker",
            str(theirs.fileno()),
            name,
            json.dumps(asdict(site)),
        ]
        with theirs, log.open("ab") as out:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=[theirs.fileno()],
                start_new_session=True, preexec_fn=dying_with_us(),  # noqa: PLW1509 - one prctl, which takes no lock
            )  # fmt: skip

    def ask(self, do: str, within_s: float, **arguments: Any) -> dict[str, Any]:
        """What it answers.  Raises TookTooLong, Unavailable or EngineFailed; only the second leaves it of use."""
        until = time.monotonic() + within_s
        self._busy = True
        try:
            self._line.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
            while b"\n" not in self._rest:
                self._line.settimeout(max(until - time.monotonic(), 0.001))
                if not (some := self._line.recv(65_536)):
                    raise EngineFailed(self._last_words())
                self._rest += some
        except TimeoutError:
            raise TookTooLong(f"{self.name}: expected to {do} within {within_s:.0f} s, did not") from None
        except ConnectionError:
            raise EngineFailed(self._last_words()) from None
        self._busy = False
        first, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(first)
        if "unavailable" in answer:
            raise Unavailable(answer["unavailable"])
        if "failed" in answer:
            raise EngineFailed(answer["failed"])
        return answer

    def close(self) -> None:
        """An orderly end, unless it still works on what took too long; then the end of the whole group."""
        if not self._busy:
            with suppress(LimError, OSError):
                self.ask("close", CLOSE_S)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole group, then to descendants that have left it, as those of Postgres do."""
        try:
            family = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(family, timeout=CLOSE_S)
        self._process.wait()
        self._line.close()

    def _last_words(self) -> str:
        code = self._process.wait(10)
        lines = self._log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return f"its process ended with {code}: " + " | ".join(lines)
