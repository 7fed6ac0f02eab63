"""Runs `lim` commands whose every descendant can be found again, however it detached itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from waiting import wait_until

MARK = "MARK_OF_A_TEST"


@dataclass
class Marked:
    """A command in a process group of its own, as a shell starts it; its output goes to files."""

    arguments: tuple[str, ...]
    home: Path
    """Home, state, temporary files and working directory: nothing of the machine's is touched."""
    environ: dict[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    alone: bool = True
    """Whether nothing else runs in this home."""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Marked:
        """Begin."""
        self.temporary.mkdir(parents=True, exist_ok=True)
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("LIM_", "XDG_", "AWS_", "COV_"))
        }
        environ = kept | {MARK: self.mark, "HOME": str(self.home), "TMPDIR": str(self.temporary)} | self.environ
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "configs.cli", *self.arguments], cwd=self.home, env=environ, stdout=out, stderr=err,
                start_new_session=True,
            )  # fmt: skip
        return self

    @property
    def temporary(self) -> Path:
        """Where it makes temporary folders."""
        return self.home / "tmp"

    @property
    def out(self) -> Path:
        """Its standard output."""
        return self.home / f"{self.mark}.out"

    @property
    def err(self) -> Path:
        """Its standard error."""
        return self.home / f"{self.mark}.err"

    @property
    def said(self) -> str:
        """All it said so far."""
        return self.out.read_text(errors="replace") + self.err.read_text(errors="replace")

    def finish(self, timeout_s: float = 60.0) -> int:
        """Wait for its end; returns the exit code."""
        assert self.process is not None
        return self.process.wait(timeout_s)

    def wait_said(self, text: str, timeout_s: float = 45.0) -> None:
        """Until it says something."""
        assert self.process is not None
        process = self.process
        wait_until(
            lambda: text in self.said or process.poll() is not None, timeout_s=timeout_s, what=f"{text!r} from {self.arguments}"
        )  # fmt: skip
        assert text in self.said, self.said

    def wait_until_after(self, seconds: float) -> None:
        """Let it run on for a time, or to its end when that comes first: a moment to interrupt it at."""
        assert self.process is not None
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process group, as a terminal does; SIGKILL to the process alone."""
        assert self.process is not None
        if self.process.poll() is None:
            if number == signal.SIGKILL:
                self.process.kill()
            else:
                os.killpg(self.process.pid, number)

    def left(self) -> list[str]:
        """Command lines of everything it started that still runs, itself included."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and self._is_ours(process):
                    found.append(f"{process.pid} {' '.join(process.cmdline())}"[:200])
            except psutil.Error:  # somebody else's, or it ended meanwhile
                continue
        return found

    def _is_ours(self, process: psutil.Process) -> bool:
        """By its environment, or by where it works: Valkey writes its title over its environment."""
        return process.environ().get(MARK) == self.mark or (
            self.alone and "valkey" in process.name() and Path(process.cwd()).is_relative_to(self.home)
        )

    def wait_nothing_left(self, timeout_s: float = 15.0) -> None:
        """Until no descendant runs; AssertionError that names them otherwise."""
        try:
            wait_until(lambda: not self.left(), timeout_s=timeout_s)
        except AssertionError:
            raise AssertionError(f"{self.arguments} left: {self.left()}") from None

    def end(self) -> None:
        """Whatever a test did, nothing of it stays."""
        for line in self.left():
            pid = int(line.split()[0])
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(10)


def lim(home: Path, *arguments: str, code: int = 0, timeout_s: float = 60.0, **environ: str) -> str:
    """Run a command beside others to its end; returns what it said, AssertionError when its exit code is another."""
    run = Marked(arguments, home, environ, alone=False).start()
    try:
        found = run.finish(timeout_s)
        assert found == code, run.said
        run.wait_nothing_left()
        return run.said
    finally:
        run.end()
