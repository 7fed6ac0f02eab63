"""`lim up`: the embedded stack, in the foreground."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from configs.cli import Context
from configs.discovery import find_file, is_running, up_file
from configs.errors import LimError
from manager.embedded.interrupting import stop_in_order
from manager.embedded.settings_file import write_private
from manager.embedded.stack import Stack, Wanted, running

LOOK_S = 0.5
"""Seconds between looks at whether every process lives."""


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), help="Where data are kept; default $XDG_DATA_HOME/lim.")
@click.option("--s3", is_flag=True, help="A real S3 server instead of a folder as bucket.")
@click.option("--workers", default=0, type=click.IntRange(0), help="Dask workers; 0 = one per core.")
@click.pass_obj
def up(context: Context, folder: Path | None, s3: bool, workers: int) -> None:
    """Run the embedded stack until Ctrl-C; other `lim` commands find it by themselves, data stay for the next time."""
    file = up_file()
    if is_running(file):
        raise LimError(f"a stack is running already, its settings are in {file}: use it, or stop it first")
    home = folder or Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share", "lim")
    console = Console(soft_wrap=True)
    stop_in_order()
    with ExitStack() as open_things:
        with console.status("starting Redis, bucket, Dask, manager and matcher"):
            stack = open_things.enter_context(running(home, context.loaded, Wanted(s3=s3, workers=workers, kept=True)))
        write_private(
            file, f"# pid {os.getpid()}\n# written by `lim up`, removed when it ends\n{stack.settings.read_text()}"
        )
        open_things.callback(file.unlink, missing_ok=True)
        try:
            _show(console, stack, file)
            while True:
                stack.check()
                time.sleep(LOOK_S)
        except KeyboardInterrupt:
            console.print("stopping; the data stay in", str(stack.folder))


def _show(console: Console, stack: Stack, file: Path) -> None:
    lines = {
        "Redis": stack.redis_url,
        "bucket": stack.storage.bucket + (f" at {stack.storage.endpoint_url}" if stack.storage.endpoint_url else ""),
        "manager": stack.manager_url,
        "Dask dashboard": stack.dashboard,
        "matcher": f"{stack.matcher_url}/healthcheck",
        "logs": str(stack.logs),
        "settings": str(file),
    }
    if console.is_terminal:
        table = Table.grid("name", "value", padding=(0, 2))
        for name, value in lines.items():
            table.add_row(name, f"[bold]{value}[/bold]")
        console.print(Panel(table, title="running; Ctrl-C stops it", expand=False))
    else:
        for name, value in lines.items():
            console.print(f"{name}: {value}")
    console.print("next, in a second terminal:  lim build my.npy --label mine")
    if (first := find_file(os.environ)) != file:
        console.print(f"note: commands started here read {first}, which goes before the settings of this stack")
