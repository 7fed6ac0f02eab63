"""`lim match`: who is most similar to the probes of a file."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from configs.cli import Context
from configs.settings import Settings
from matcher.client import MatchClient
from matcher.merge import Sighting, across
from matcher.outputs import expect_folders
from matcher.probes import ProbesError, read_probes

SHOWN = 10
"""Probes whose candidates are printed when there is no output file."""

ENDINGS = (".parquet", ".csv", ".jsonl")


@click.command()
@click.option("--label", "labels", multiple=True, required=True, help="The list to look in; several are merged.")
@click.option(
    "--probes", type=click.Path(path_type=Path), required=True, help="A .npy, .npz or .parquet file of vectors."
)
@click.option("--limit", default=10, show_default=True, help="Candidates per probe.")
@click.option("--threshold", type=float, help="Least similarity of a candidate.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write probe, rank, id, similarity to a .parquet, .csv or .jsonl file.",
)
@click.option(
    "--wait", "wait_s", default=10.0, show_default=True, help="Seconds to wait for a label that nobody serves yet."
)
@click.option("--json", "json_file", help="Write the figures to this file ('-' = standard output).")
@click.pass_obj
def match(
    context: Context, labels: tuple[str, ...], probes: Path, limit: int, threshold: float | None, out: Path | None,
    wait_s: float, json_file: str | None,
) -> None:  # fmt: skip
    """Ask the matchers for the best candidates of every probe."""
    if out is not None and out.suffix not in ENDINGS:
        raise ProbesError(
            f"{out}: expected a name that ends in {', '.join(ENDINGS)}, got {out.suffix or 'no ending'!r}"
        )
    expect_folders(out, json_file)
    vectors = read_probes(probes)
    began = time.monotonic()
    found = asyncio.run(_asked(context.settings, labels, vectors, {"limit": limit, "threshold": threshold}, wait_s))
    seconds = time.monotonic() - began
    if out is not None:
        _write(out, found, several=len(labels) > 1)
    figures = {
        "probes": len(vectors),
        "candidates": sum(map(len, found)),
        "seconds": seconds,
        "probes_per_s": len(vectors) / seconds,
    }
    if json_file == "-":
        click.echo(json.dumps(figures))
        return
    if json_file:
        Path(json_file).write_text(json.dumps(figures))
    if out is None:
        _show(found)
    Console(stderr=True).print(
        f"{len(vectors):,} probes in {seconds:.2f} s, {figures['probes_per_s']:,.0f}/s" + (f": {out}" if out else "")
    )


async def _served(client: MatchClient, labels: Sequence[str], wait_s: float) -> None:
    """A label that was built a moment ago is loaded by the matchers within their next look at the bucket."""
    until = time.monotonic() + wait_s
    said = False
    while missing := [label for label in labels if label not in client.directory.labels]:
        if time.monotonic() > until:
            return  # asking says what is wrong
        if not said:
            Console(stderr=True).print(f"waiting until a matcher serves {', '.join(missing)}")
            said = True
        await asyncio.sleep(0.1)


async def _asked(
    settings: Settings, labels: Sequence[str], vectors: np.ndarray[Any, Any], wanted: dict[str, Any], wait_s: float
) -> list[Sequence[Sighting]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with MatchClient(settings.redis.url, settings.client) as client:
        await _served(client, labels, wait_s)
        with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task("asking", total=len(vectors) * len(labels))
            per_label = []
            for label in labels:
                answers = []
                async for answer in client.stream(label, vectors, **wanted):
                    answers.append(answer)
                    bar.advance(task)
                per_label.append(answers)
    return [across(answers, wanted["limit"]) for answers in zip(*per_label, strict=True)]


def _rows(found: list[Sequence[Sighting]]) -> Iterator[tuple[int, int, str, float, str]]:
    for probe, candidates in enumerate(found):
        for rank, one in enumerate(candidates, 1):
            yield probe, rank, str(one.id), one.similarity, one.label


def _write(out: Path, found: list[Sequence[Sighting]], *, several: bool) -> None:
    """The table, whole or not at all; the label is a column when there are several."""
    names = ["probe", "rank", "id", "similarity", "label"][: 5 if several else 4]
    part = out.with_name(f".{out.name}.part")
    try:
        if out.suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            columns = list(zip(*_rows(found), strict=True)) or [()] * 5
            types = (pa.int64(), pa.int32(), pa.string(), pa.float32(), pa.string())
            arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
            pq.write_table(pa.table(dict(zip(names, arrays, strict=False))), part)
        elif out.suffix == ".csv":
            with part.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(names)
                writer.writerows(row[: len(names)] for row in _rows(found))
        else:
            lines = (json.dumps(dict(zip(names, row, strict=False))) for row in _rows(found))
            part.write_text("".join(f"{line}\n" for line in lines))
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _show(found: list[Sequence[Sighting]]) -> None:
    table = Table("probe", "rank", "id", "similarity", "label", title="best candidates")
    for probe, rank, name, similarity, label in _rows(found[:SHOWN]):
        table.add_row(str(probe), str(rank), name, f"{similarity:.4f}", label)
    Console().print(table)
    if len(found) > SHOWN:
        Console(stderr=True).print(f"{len(found) - SHOWN} more probes: give --out to write all")
