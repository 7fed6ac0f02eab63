"""`lim demo`: descriptors in, answers out, with every figure on the way."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any, NoReturn

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from configs.errors import ConfigError
from configs.settings import Source, Storage
from manager.demo import steps
from manager.demo.check import compare, direct_per_s, open_published
from manager.demo.plan import Wishes
from manager.demo.tables import figures, table
from manager.demo.usage import usage
from manager.embedded.stack import Stack, running
from pipeline.artifact import open_store
from pipeline.sources.opening import open_source

console = Console(stderr=True)


@click.command()
@click.option("--rows", default=200_000, show_default=True, type=click.IntRange(1), help="Descriptors to generate.")
@click.option("--probes", default=20_000, show_default=True, type=click.IntRange(1), help="Probes sent through Redis.")
@click.option("--check", "checked", default=2_000, show_default=True, help="Answers compared with exact search.")
@click.option("--source", default="", help="Your own vectors instead: a file, folder or glob.")
@click.option("--images", default="", help="Your own photos instead; needs --models.")
@click.option("--models", default="", help="Folder with detect.onnx and embed*.onnx.")
@click.option("--s3", is_flag=True, help="A real S3 server instead of a folder as bucket.")
@click.option("--workers", default=0, help="Dask workers; 0 = one per core.")
@click.option("--recipe", default="auto", type=click.Choice(["auto", "exact", "scan", "cells"]), help="The recipe.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("lim-demo"),
    show_default=True,
    help="Folder for the report, which stays.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
def demo(json_file: Path | None, **options: Any) -> None:
    """Build an index and answer probes from it, with real servers, in a folder that is removed afterwards."""
    wishes = Wishes(**options)
    if wishes.images and not wishes.models:
        raise ConfigError(
            "--images: expected --models as well, got none: give the folder with detect.onnx and embed*.onnx"
        )
    signal.signal(signal.SIGTERM, _interrupted)
    with tempfile.TemporaryDirectory(prefix="lim-demo-") as folder:
        console.print("starting a Redis-protocol server, a bucket, Dask workers and a matcher")
        with running(Path(folder), s3=wishes.s3, workers=wishes.workers) as stack:
            console.print(f"Dask dashboard, while it lasts: {stack.dashboard}")
            found = _run(stack, wishes)
    if json_file is not None:
        part = json_file.with_name(f".{json_file.name}.part")
        part.write_text(json.dumps(found, indent=1))
        part.replace(json_file)


def _run(stack: Stack, wishes: Wishes) -> dict[str, Any]:
    if wishes.source or wishes.images:
        source, probes = steps.given(stack, wishes)
        measure = None
    else:
        source, measure, probes = steps.generate(stack, wishes)
    built = steps.build(stack, wishes, source, measure)
    steps.wait_served(stack, built["index_id"])
    vectors = steps.vectors(probes)
    before = usage(stack)
    streamed, answers = steps.stream(stack, probes, wishes.probes)
    spent = usage(stack).since(before)
    index = open_published(stack, stack.folder / "direct")
    direct = direct_per_s(index, vectors)
    index.close()
    checked = compare(answers, vectors, *_gallery(source, wishes), wishes.checked)
    found = figures(built, streamed, spent, direct, checked)
    report = _keep_report(stack, built, wishes)
    Console().print(table(found, built, streamed, checked))
    Console().print(f"report: {report}", soft_wrap=True)
    return found


def _gallery(source: str, wishes: Wishes) -> tuple[NDArray[np.float16], list[str]]:
    """The source's rows with their ids: what exact search is made of, without any file of the index."""
    opened = open_source(source, Source(), steps.image_settings(wishes), Storage())
    parts = [opened.read(part) for part in opened.partitions(25_000)]
    return np.concatenate([part.descriptors for part in parts]), [str(name) for part in parts for name in part.ids]


def _keep_report(stack: Stack, built: dict[str, Any], wishes: Wishes) -> Path:
    wishes.out.mkdir(parents=True, exist_ok=True)
    path = wishes.out / "report.html"
    open_store(stack.bucket, Storage(endpoint_url=stack.endpoint_url)).download(built["report"], path.absolute())
    shutil.copytree(stack.folder / "logs", wishes.out / "logs", dirs_exist_ok=True)
    return path


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt
