"""`lim up`: the embedded stack, in the foreground."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from configs.discovery import is_running, up_file
from configs.errors import LimError
from manager.embedded.stack import Stack, running


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), help="Where data are kept; default $XDG_DATA_HOME/lim.")
@click.option("--s3", is_flag=True, help="A real S3 server instead of a folder as bucket.")
@click.option("--workers", default=0, help="Dask workers; 0 = one per core.")
def up(folder: Path | None, s3: bool, workers: int) -> None:
    """Run the embedded stack until Ctrl-C; other `lim` commands find it by themselves."""
    file = up_file()
    if is_running(file):
        raise LimError(f"a stack is running already (its settings are in {file}): use it, or stop it first")
    home = folder or Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share", "lim")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    console = Console()
    with ExitStack() as open_things:
        open_things.callback(file.unlink, missing_ok=True)
        with console.status("starting Redis, bucket, Dask and matcher"):
            found = open_things.enter_context(running(home.absolute(), s3=s3, workers=workers))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)  # it may hold the keys of the S3 server
        file.write_text(found.settings_file())
        _show(console, found, file)
        while not stop.wait(1.0):
            _check(found)
        console.print("stopping")


def _show(console: Console, stack: Stack, file: Path) -> None:
    table = Table(title="running; Ctrl-C stops it", show_header=False)
    for name, value in (
        ("Redis", stack.redis_url),
        ("bucket", stack.bucket + (f" at {stack.endpoint_url}" if stack.endpoint_url else "")),
        ("Dask dashboard", stack.dashboard),
        ("matcher", f"http://127.0.0.1:{stack.matcher_port}/healthcheck"),
        ("data and logs", str(stack.folder)),
        ("settings", str(file)),
    ):
        table.add_row(name, value)
    console.print(table)
    console.print("next, in a second terminal:  lim build my.npy --label mine")


def _check(stack: Stack) -> None:
    """A process that died is an error, not a stack that is half there."""
    for name, child in stack.children.items():
        if child.process is not None and child.process.poll() is not None:
            raise LimError(f"{name} ended with {child.process.returncode}:\n{child.tail()}")
