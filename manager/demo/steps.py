"""The steps of the demo, each a public command in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from configs.settings import Images, Source, Storage
from manager.demo.plan import LABEL, Wishes
from manager.embedded.processes import StackError, dying_with_us
from manager.embedded.stack import Stack, lim
from pipeline.sources.opening import open_source


def command(stack: Stack, *arguments: str) -> dict[str, Any]:
    """Run a `lim` command to its end, its progress visible; returns the figures that it writes with --json.

    Raises StackError when it fails; what it said stands on the terminal already.
    """
    figures = stack.folder / f"{arguments[0]}.json"
    figures.unlink(missing_ok=True)
    process = subprocess.Popen(
        lim(*arguments, "--json", str(figures)), env={**os.environ, **stack.environ()}, stdin=subprocess.DEVNULL,
        preexec_fn=dying_with_us(),  # noqa: PLW1509 - a single prctl
    )  # fmt: skip
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if code:
        raise StackError(
            f"lim {arguments[0]}: ended with {code}; its message is above, logs are in {stack.folder / 'logs'}"
        )
    return json.loads(figures.read_text())  # type: ignore[no-any-return]


def generate(stack: Stack, wishes: Wishes) -> tuple[str, Path, Path]:
    """Made-up people and other photos of them: the source, probes to measure with, probes to stream."""
    source, probes = stack.folder / "gallery.parquet", stack.folder / "probes.parquet"
    count = min(2 * wishes.probes, wishes.rows)
    command(
        stack, "generate", "--rows", str(wishes.rows), "--regime", "mixture", "--seed", "1", "--out", str(source),
        "--probes", str(count), "--probes-out", str(probes),
    )  # fmt: skip
    halves = _split(probes, stack.folder)
    return str(source), halves[0], halves[1]


def _split(probes: Path, folder: Path) -> tuple[Path, Path]:
    table = pq.read_table(probes)
    paths = folder / "measure.parquet", folder / "stream.parquet"
    cut = table.num_rows // 2
    pq.write_table(table.slice(0, cut), paths[0])
    pq.write_table(table.slice(cut), paths[1])
    return paths


def given(stack: Stack, wishes: Wishes) -> tuple[str, Path]:
    """A source of the person's own, and its first rows as probes to stream."""
    url = wishes.images or wishes.source
    path = stack.folder / "stream.npy"
    np.save(path, rows_of(url, wishes, most=wishes.probes).astype(np.float32))
    return url, path


def rows_of(url: str, wishes: Wishes, most: int) -> NDArray[np.float16]:
    """The first rows (n, dim) of a source, as a build reads them."""
    source = open_source(url, Source(), image_settings(wishes), Storage())
    rows = []
    for part in source.partitions(25_000):
        rows.append(source.read(part).descriptors)
        if sum(map(len, rows)) >= most:
            break
    return np.concatenate(rows)[:most]


def image_settings(wishes: Wishes) -> Images:
    """Photos of a demo may have people in the background: the largest face counts."""
    return Images(models=wishes.models, on_several="largest")


def build(stack: Stack, wishes: Wishes, source: str, probes: Path | None) -> dict[str, Any]:
    """Index the source on the stack's Dask workers."""
    arguments = ["build", source, "--label", LABEL, "--recipe", wishes.recipe]
    if probes is not None:
        arguments += ["--probes", str(probes)]
    if wishes.images:
        os.environ |= {"LIM_IMAGES__MODELS": str(Path(wishes.models).absolute()), "LIM_IMAGES__ON_SEVERAL": "largest"}
    return command(stack, *arguments)


def stream(stack: Stack, probes: Path, count: int) -> tuple[dict[str, Any], Path]:
    """Send probes through Redis; returns the figures and the answers."""
    answers = stack.folder / "answers.npz"
    figures = command(
        stack, "load", "--label", LABEL, "--probes", str(probes), "--requests", str(count), "--answers", str(answers)
    )  # fmt: skip
    return figures, answers


def vectors(probes: Path) -> NDArray[np.float32]:
    """The probes of a file (n, dim)."""
    if probes.suffix == ".npy":
        return np.load(probes)  # type: ignore[no-any-return]
    column = pq.read_table(probes, columns=["descriptor"])["descriptor"].combine_chunks()
    return np.asarray(column.flatten()).astype(np.float32).reshape(len(column), -1)


def wait_served(stack: Stack, index_id: str) -> None:
    """Until the matcher has seen the new index, as it does within `matcher.poll_s`."""
    _wait(stack, lambda held: index_id in {one["index_id"] for one in held}, f"index {index_id}")


def wait_labels(stack: Stack, count: int) -> None:
    """Until the matcher holds at least so many labels."""
    _wait(stack, lambda held: len(held) >= count, f"{count} labels")


def _wait(stack: Stack, seen: Callable[[list[dict[str, Any]]], bool], what: str) -> None:
    until = time.monotonic() + 120
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{stack.matcher_port}/indexes", timeout=30) as reply:
            if seen(json.load(reply)["indexes"]):
                return
        if time.monotonic() > until:
            raise StackError(f"matcher: expected to serve {what} within 120 s:\n{stack.children['matcher'].tail()}")
        time.sleep(0.05)
