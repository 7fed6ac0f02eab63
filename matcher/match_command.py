"""`lim match`: who is most similar to the probes of a file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table as Shown

from configs.cli import Context
from configs.settings import Settings
from matcher.client import MatchClient
from matcher.figures import write_figures
from matcher.match_table import Table
from matcher.merge import Answer, Sighting, across
from matcher.outputs import expect_folders
from matcher.probes import read_probes
from matcher.progress import Bar
from matcher.question import Options

SHOWN = 10
"""Probes whose candidates are printed when there is no file for them."""

Found = tuple[Sighting, ...]


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    seconds: float = 0.0
    candidates: int = 0
    shards: int = 0
    """Shards that a probe was looked for in, of all labels together."""
    partial: int = 0
    """Answers without some of them."""
    lacked: set[int] = field(default_factory=set)
    """Shards that were missing from any answer."""
    first: list[Found] = field(default_factory=list)
    """Candidates of the first probes, for people to read."""


@click.command()
@click.option("--label", "labels", multiple=True, required=True, help="The list to look in; several are merged.")
@click.option(
    "--probes", type=click.Path(path_type=Path), required=True, help="A .npy, .npz or .parquet file of descriptors."
)
@click.option("--limit", default=10, show_default=True, help="Candidates of each probe.")
@click.option("--threshold", type=float, help="Least similarity of a candidate.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write probe, rank, id, similarity to a .parquet, .csv or .jsonl file.",
)
@click.option(
    "--wait", "wait_s", default=10.0, show_default=True, help="Seconds to wait for a label that nobody serves yet."
)
@click.option("--allow-partial", is_flag=True, help="At the deadline take what the shards that answered have found.")
@click.option("--json", "json_file", help="Write the figures to this file ('-' = standard output).")
@click.pass_obj
def match(context: Context, /, **options: Any) -> None:
    """Ask the matchers for the best candidates of every probe."""
    settings, labels, out = context.settings, options["labels"], options["out"]
    expect_folders(options["json_file"])
    probes = read_probes(options["probes"])
    wanted: Options = {"limit": options["limit"]}
    if options["threshold"] is not None:
        wanted["threshold"] = options["threshold"]
    if options["allow_partial"]:
        wanted["allow_partial"] = True
    with ExitStack() as stack:
        table = stack.enter_context(Table(out, labelled=len(labels) > 1)) if out else None
        bar = stack.enter_context(Bar("probes", len(probes)))
        outcome = asyncio.run(_ask(settings, _Job(labels, probes, wanted, options["wait_s"], table), bar))
    figures = {
        "probes": len(probes), "candidates": outcome.candidates, "seconds": outcome.seconds,
        "probes_per_s": len(probes) / outcome.seconds, "shards": outcome.shards, "partial": outcome.partial,
    }  # fmt: skip
    if options["json_file"]:
        write_figures(options["json_file"], figures)
    if options["json_file"] != "-":
        _show(outcome, len(probes), out, labelled=len(labels) > 1)


@dataclass(frozen=True, slots=True)
class _Job:
    labels: tuple[str, ...]
    probes: NDArray[np.float32]
    wanted: Options
    wait_s: float
    table: Table | None


async def _ask(settings: Settings, job: _Job, bar: Bar) -> Outcome:
    outcome = Outcome()
    async with MatchClient(settings.redis.url, settings.client) as client:
        await _until_served(client, job.labels, job.wait_s)
        began = time.monotonic()
        number = 0
        async for answers in _answers(client, job):
            found = across(answers, job.wanted["limit"])
            outcome.shards = sum(answer.shards for answer in answers)
            outcome.partial += sum(answer.partial for answer in answers)
            outcome.lacked.update(*(answer.missing for answer in answers))
            if job.table is not None:
                job.table.add(number, found)
            elif number < SHOWN:
                outcome.first.append(found)
            outcome.candidates += len(found)
            number += 1
            bar.advance()
        outcome.seconds = time.monotonic() - began
    return outcome


async def _until_served(client: MatchClient, labels: Sequence[str], wait_s: float) -> None:
    """A label built a moment ago is loaded by the matchers within their next look at the bucket."""
    until = time.monotonic() + wait_s
    said = False
    while missing := [label for label in labels if not await client.index_of(label)]:
        if time.monotonic() > until:
            return  # asking says what is wrong
        if not said:
            click.echo(f"waiting until a matcher serves {', '.join(missing)}", err=True)
            said = True
        await asyncio.sleep(0.1)


async def _answers(client: MatchClient, job: _Job) -> AsyncIterator[list[Answer]]:
    """Answers for each probe in order, from all labels."""
    pairs = ((label, probe) for probe in job.probes for label in job.labels)
    answers: list[Answer] = []
    async for answer in client.stream_pairs(pairs, **job.wanted):
        answers.append(answer)
        if len(answers) == len(job.labels):
            yield answers
            answers = []


def _show(outcome: Outcome, probes: int, out: Path | None, *, labelled: bool) -> None:
    if out is None:
        table = Shown("probe", "rank", "id", "similarity", *(["label"] if labelled else []))
        for probe, found in enumerate(outcome.first):
            for rank, one in enumerate(found, 1):
                label = [one.label] if labelled else []
                table.add_row(str(probe), str(rank), str(one.id), f"{one.similarity:.4f}", *label)
        Console().print(table)
        if probes > len(outcome.first):
            click.echo(f"{probes - len(outcome.first):,} more probes: give --out to write all", err=True)
    to = f" → {out}" if out else ""
    rate = probes / outcome.seconds
    of = f" of {outcome.shards} shards" if outcome.shards > (2 if labelled else 1) else ""
    said = f"{probes:,} probes in {outcome.seconds:.2f} s, {rate:,.0f}/s, {outcome.candidates:,} candidates{of}{to}"
    click.echo(said, err=True)
    if outcome.partial:
        click.echo(f"{outcome.partial:,} answers are partial: without shards {sorted(outcome.lacked)}", err=True)
