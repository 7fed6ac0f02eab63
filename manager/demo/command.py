"""`lim demo`: descriptors in, answers out, with every figure on the way."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from configs.cli import Context
from manager.demo import steps
from manager.demo.check import Gallery, compare
from manager.demo.direct import direct_per_s, published
from manager.demo.leaving import leave_open
from manager.demo.plan import Wishes
from manager.demo.tables import figures, printed, table
from manager.demo.usage import usage
from manager.embedded.interrupting import stop_in_order
from manager.embedded.stack import Stack, Wanted, running
from pipeline.artifact import open_store

COUNT = click.IntRange(min=1)


@click.command()
@click.option("--rows", default=200_000, show_default=True, type=click.IntRange(2), help="Descriptors to generate.")
@click.option("--probes", default=20_000, show_default=True, type=COUNT, help="Probes sent through Redis.")
@click.option(
    "--check", "checked", default=2_000, show_default=True, type=COUNT, help="Answers compared with exact search."
)
@click.option("--source", default="", help="Your own vectors instead: a file, folder or glob.")
@click.option("--images", default="", help="Your own photos instead, a folder or tar; needs --models.")
@click.option("--models", default="", help="Folder with detect.onnx and embed*.onnx.")
@click.option("--s3", is_flag=True, help="A real S3 server instead of a folder as bucket.")
@click.option("--workers", default=0, type=click.IntRange(0), help="Dask workers; 0 = one per core.")
@click.option("--recipe", default="auto", type=click.Choice(["auto", "exact", "scan", "cells"]), help="The recipe.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("lim-demo"),
    show_default=True,
    help="Folder that stays: report, logs.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
@click.pass_obj
def demo(context: Context, /, json_file: Path | None, **options: Any) -> None:
    """Build an index and answer probes from it, with real servers, in a folder that is removed afterwards."""
    wishes = Wishes(**options, settings=context.settings)
    wishes.check()
    stop_in_order()
    began, console = time.monotonic(), Console(stderr=True, soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="lim-demo-", ignore_cleanup_errors=True) as folder:
        console.print("starting a Redis-protocol server, a bucket, Dask workers, a manager and a matcher")
        with (
            running(Path(folder), context.loaded, Wanted(s3=wishes.s3, workers=wishes.workers)) as stack,
            _logs_kept(stack, wishes),
        ):
            console.print(
                f"while the demo runs: pages of the manager {stack.manager_url}, Dask dashboard {stack.dashboard}"
            )
            found, shown = _run(stack, wishes)
            took = time.monotonic() - began
            if json_file is not None:
                _write(json_file, found)
            printed(shown)
            Console(soft_wrap=True).print(f"report: {wishes.out / 'report.html'}\nthe demo took {took:.0f} s")
            leave_open(stack)
    Console(soft_wrap=True).print("everything it started has ended; `lim up` keeps a stack running")


def _write(file: Path, found: dict[str, Any]) -> None:
    part = file.with_name(f".{file.name}.part")
    part.write_text(json.dumps(found, indent=1) + "\n")
    part.replace(file)


def _run(stack: Stack, wishes: Wishes) -> tuple[dict[str, Any], Any]:
    os.environ.update({name: value for name, value in stack.environ.items() if name.startswith("AWS_")})
    faces = steps.faces(stack, wishes)
    built = steps.submit(stack, wishes, faces)
    _keep_report(stack, built["report"], wishes)
    steps.wait_served(stack, built["index_id"])
    before = usage(stack)
    streamed, answers = steps.stream(stack, faces, wishes.probes)
    spent = usage(stack).since(before)
    vectors = steps.vectors(faces.stream)
    with published(stack, stack.folder / "direct") as index:
        direct = direct_per_s(index, vectors)
    gallery = Gallery(*steps.gallery(faces.source, wishes))
    checked = compare(answers, vectors, gallery, wishes.checked, own=faces.own)
    found = figures(built, streamed, spent, direct, checked)
    return found, table(found, built, streamed, checked)


def _keep_report(stack: Stack, key: str, wishes: Wishes) -> None:
    open_store(stack.storage.bucket, stack.storage).download(key, wishes.out.absolute() / "report.html")


@contextmanager
def _logs_kept(stack: Stack, wishes: Wishes) -> Iterator[None]:
    """Copy the logs out of the folder that is removed, above all when something failed."""
    try:
        yield
    finally:
        stack.ending()
        shutil.copytree(stack.logs, wishes.out / "logs", dirs_exist_ok=True)
