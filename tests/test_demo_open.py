"""The end of a demo in a terminal: its pages stay until Enter."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time

PROGRAM = """
from types import SimpleNamespace
from manager.demo.leaving import leave_open
from manager.embedded.processes import StackError
looks = []
def check():
    looks.append(1)
    if len(looks) == MOST:
        raise StackError("matcher: expected a running process, it ended")
leave_open(SimpleNamespace(manager_url="http://127.0.0.1:5190", dashboard="http://127.0.0.1:8787/status", check=check))
print("ended", len(looks) > 0)
"""


def at_a_terminal(most: int) -> tuple[subprocess.Popen[bytes], int]:
    """The end of a demo with a terminal before it; at the `most`th look a server has ended."""
    ours, its = pty.openpty()
    program = PROGRAM.replace("MOST", str(most))
    process = subprocess.Popen([sys.executable, "-c", program], stdin=its, stdout=its, stderr=its)
    os.close(its)
    return process, ours


def said(terminal: int, words: str, timeout_s: float = 20) -> str:
    """What comes up to these words."""
    text, until = "", time.monotonic() + timeout_s
    while words not in text:
        assert select.select([terminal], [], [], max(0.0, until - time.monotonic()))[0], f"no {words!r} in {text!r}"
        text += os.read(terminal, 4096).decode()
    return text


def test_it_stays_until_enter() -> None:
    process, terminal = at_a_terminal(most=1_000)
    try:
        assert "http://127.0.0.1:5190" in said(terminal, "press Enter to end the demo")
        assert process.poll() is None
        assert not select.select([terminal], [], [], 1.2)[0], "it waits"
        os.write(terminal, b"\n")
        said(terminal, "ended True")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def test_a_server_that_ends_meanwhile_is_told() -> None:
    process, terminal = at_a_terminal(most=2)
    try:
        said(terminal, "matcher: expected a running process")
        assert process.wait(20) == 1
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def test_nobody_is_waited_for_elsewhere() -> None:
    program = PROGRAM.replace("MOST", "1")
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "ended False\n"
