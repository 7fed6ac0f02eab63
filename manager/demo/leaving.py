"""The end of a demo in a terminal: its pages stay until the person has seen them."""

from __future__ import annotations

import select
import sys

from rich.console import Console

from manager.embedded.stack import Stack

LOOK_S = 0.5
"""Seconds between looks at whether every process lives."""


def leave_open(stack: Stack) -> None:
    """Wait for Enter where a person sits at the terminal; elsewhere nobody would press it.

    Raises StackError when one of the processes ends meanwhile.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return
    Console(soft_wrap=True).print(
        f"look at it: {stack.manager_url} (pages), {stack.dashboard} (Dask); [bold]press Enter to end the demo[/bold]"
    )
    while not select.select([sys.stdin], [], [], LOOK_S)[0]:
        stack.check()
    sys.stdin.readline()
