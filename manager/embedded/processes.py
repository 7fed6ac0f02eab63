"""Child processes that never outlive their parent, whatever kills it."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from configs.errors import LimError

LAST_LINES = 15
_PR_SET_PDEATHSIG = 1


class StackError(LimError):
    """A process of the embedded stack that does not start or has died; shows the end of its log."""


@dataclass(slots=True)
class Child:
    """A process in a group of its own, so that a Ctrl-C in the terminal reaches only its parent, which stops in order.

    Start it from the main thread: the kernel counts the thread that started it as the parent.
    """

    name: str
    command: Sequence[str]
    log: Path
    environ: dict[str, str] = field(default_factory=dict, repr=False)
    """Variables over those of this process."""
    without: tuple[str, ...] = ()
    """Prefixes of variables of this process that the child does not get."""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Child:
        """Start it, or start it again; SIGKILL reaches it when this process dies, even by SIGKILL itself."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(self.without)}
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                list(self.command), stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=kept | self.environ,
                start_new_session=True, preexec_fn=dying_with_us(),  # noqa: PLW1509 - one prctl, which takes no lock
            )  # fmt: skip
        return self

    @property
    def pid(self) -> int:
        """Process id; raises StackError before the start."""
        if self.process is None:
            raise StackError(f"{self.name}: was not started")
        return self.process.pid

    def check(self) -> None:
        """Raises StackError with the log's end when it has ended."""
        if self.process is not None and (code := self.process.poll()) is not None:
            raise StackError(
                f"{self.name}: expected a running process, it ended with {code}; its last words:\n{self.tail()}"
            )

    def wait_ready(self, ready: Callable[[], bool], timeout_s: float = 30.0) -> Child:
        """Wait until `ready` says so; stops it and raises StackError with the log's end when it dies or takes too long."""
        until = time.monotonic() + timeout_s
        try:
            while not ready():
                self.check()
                if time.monotonic() > until:
                    raise StackError(  # noqa: TRY301 - the clean-up below is for Ctrl-C as well
                        f"{self.name}: expected to be ready within {timeout_s:.0f} s, was not; its last words:\n{self.tail()}"
                    )
                time.sleep(0.02)
        except BaseException:
            self.stop()
            raise
        return self

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LAST_LINES:])

    def kill(self) -> None:
        """SIGKILL to the whole group."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def kill_now(self) -> None:
        """SIGKILL to the whole group without waiting, from a signal handler; nothing once it was seen to have ended."""
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def stop(self, timeout_s: float = 12.0) -> int | None:
        """SIGTERM, then SIGKILL to what is left of the group, at once when interrupted; returns the exit code."""
        if self.process is None:
            return None
        try:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout_s)
        finally:
            self.kill()
        return self.process.returncode


def dying_with_us() -> Callable[[], None]:
    """What a child calls before it becomes its command: SIGKILL reaches it when this process dies."""
    parent = os.getpid()
    # resolved here: between fork and exec nothing may look up or allocate
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def before_exec() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the call
            os.kill(os.getpid(), signal.SIGKILL)

    return before_exec


def free_port(*, also_plus: int = 0) -> int:
    """A free loopback port; with `also_plus`, one whose neighbour at that distance is free as well."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            if not also_plus:
                return port
            if port + also_plus < 65_536:
                with suppress(OSError):
                    other.bind(("127.0.0.1", port + also_plus))
                    return port
