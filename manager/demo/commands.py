"""Runs public `lim` commands against a stack, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from manager.embedded.processes import StackError, dying_with_us
from manager.embedded.python import lim
from manager.embedded.settings_file import OURS
from manager.embedded.stack import Stack

LOOK_S = 0.5
"""Seconds between looks at whether the servers live while a command runs."""


@dataclass(slots=True)
class Running:
    """A `lim` command on its way; its progress is on this terminal, its figures come in a file."""

    name: str
    process: subprocess.Popen[bytes]
    figures: Path | None
    """None where it writes none."""
    log: Path
    """What it says on standard output."""

    def finish(self, stack: Stack) -> dict[str, Any]:
        """Wait for its end; returns what it wrote with --json, if anything.

        Raises StackError when it fails, or when one of the stack's servers dies meanwhile.
        """
        try:
            while self.process.poll() is None:
                stack.check()
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(LOOK_S)
        finally:
            self.stop()
        if self.process.returncode:
            why = self.log.read_text().strip().rpartition("\n")[2] if self.figures is None else ""
            raise StackError(f"lim {self.name}: ended with {self.process.returncode}: {why or 'why is said above'}")
        return {} if self.figures is None else json.loads(self.figures.read_text())

    def stop(self) -> None:
        """End it if it still runs: politely, then for good with all that it started."""
        running = self.process.poll() is None
        try:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(5.0)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            if running:
                Console(stderr=True).show_cursor()  # its progress bar had hidden it


def begin(stack: Stack, name: str, *arguments: str, settings: tuple[str, ...] = (), figures: bool = True) -> Running:
    """Start a command in a group of its own, so that a Ctrl-C interrupts us alone, who end it.

    `settings` are section.field=value.  Its tables go to a log, its errors and progress to stderr; `figures` says
    whether it can write some with --json FILE.
    """
    file, log = stack.folder / f"{name}.json", stack.logs / f"{name}.log"
    file.unlink(missing_ok=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
    line = lim(*(word for setting in settings for word in ("--set", setting)), name, *arguments)
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*line, "--json", str(file)] if figures else line, env=kept | stack.environ, stdin=subprocess.DEVNULL,
            stdout=out, start_new_session=True, preexec_fn=dying_with_us(),  # noqa: PLW1509 - one prctl, which takes no lock
        )  # fmt: skip
    return Running(name, process, file if figures else None, log)


def command(stack: Stack, name: str, *arguments: str, settings: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run a command to its end; see `begin` and `Running.finish`."""
    return begin(stack, name, *arguments, settings=settings).finish(stack)
