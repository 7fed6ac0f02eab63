"""`lim load`: puts a load on matchers and measures it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from configs.cli import Context
from configs.settings import Settings
from matcher.client import MatchClient
from matcher.figures import write_figures
from matcher.load_run import Load, Measured, run
from matcher.merge import Answer
from matcher.outputs import expect_folders
from matcher.probes import ProbesError, read_probes
from matcher.progress import Bar


@click.command()
@click.option("--label", "labels", multiple=True, help="The list to ask; several are asked in turn.")
@click.option("--labels-from", type=click.Path(path_type=Path), help="A file with a label on each line.")
@click.option(
    "--probes", type=click.Path(path_type=Path), required=True, help="A .npy, .npz or .parquet file of descriptors."
)
@click.option("--requests", type=click.IntRange(min=1), help="Requests; without, one for each probe.")
@click.option("--limit", default=10, show_default=True, help="Candidates of each request.")
@click.option("--in-flight", type=click.IntRange(min=1), help="Requests under way at once; without, client.in_flight.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Requests a second, whatever is under way.")
@click.option("--answers", type=click.Path(path_type=Path), help="Write the answers to this .npz file.")
@click.option("--json", "json_file", help="Write the figures to this file ('-' = standard output).")
@click.pass_obj
def load(context: Context, /, **options: Any) -> None:
    """Ask as fast as answers come, or at a fixed rate; latency counts from when a request was due."""
    settings = context.settings
    expect_folders(options["answers"], options["json_file"])
    work = _load(settings, options)
    with Bar("requests", work.requests) as bar:
        measured = asyncio.run(_run(settings, work, bar))
    if options["answers"]:
        _keep(options["answers"], measured.answers, work.limit)
    figures = measured.figures()
    if options["json_file"]:
        write_figures(options["json_file"], figures)
    else:
        _show(figures, measured)


def _load(settings: Settings, options: dict[str, Any]) -> Load:
    if options["rate"] and options["in_flight"]:
        raise click.UsageError("give --in-flight or --rate, not both")
    labels = options["labels"] + (_labels(options["labels_from"]) if options["labels_from"] else ())
    if not labels:
        raise click.UsageError("give --label or --labels-from")
    probes = read_probes(options["probes"])
    return Load(
        labels=labels, probes=probes, requests=options["requests"] or len(probes), limit=options["limit"],
        in_flight=options["in_flight"] or settings.client.in_flight, rate=options["rate"],
        keep=options["answers"] is not None,
    )  # fmt: skip


def _labels(path: Path) -> tuple[str, ...]:
    try:
        labels = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ProbesError(f"{path}: expected a text file with a label on each line: {error}") from error
    if not labels:
        raise ProbesError(f"{path}: expected a label on each line, got none")
    return labels


async def _run(settings: Settings, work: Load, bar: Bar) -> Measured:
    in_flight = max(work.in_flight, settings.client.in_flight)
    async with MatchClient(settings.redis.url, replace(settings.client, in_flight=in_flight)) as client:
        return await run(client, work, bar)


def _keep(path: Path, answers: dict[int, Answer], limit: int) -> None:
    """probe (n,) request numbers, index_ids (n,), ids (n, limit) text, similarities (n, limit) float32, -1 = none."""
    numbers = sorted(answers)
    ids = np.full((len(numbers), limit), "", object)
    similarities = np.full((len(numbers), limit), -1, np.float32)
    for row, number in enumerate(numbers):
        for rank, candidate in enumerate(answers[number].candidates):
            ids[row, rank], similarities[row, rank] = str(candidate.id), candidate.similarity
    index_ids = np.array([answers[number].index_id for number in numbers], str)
    with path.open("wb") as file:  # a name without .npz is kept as it is
        np.savez(
            file, probe=np.array(numbers, np.int64), index_ids=index_ids, ids=ids.astype(str), similarities=similarities
        )


def _show(figures: dict[str, Any], measured: Measured) -> None:
    click.echo(f"{figures['answered']:,} of {figures['requests']:,} answered in {figures['seconds']:.2f} s")
    click.echo(f"{figures['probes_per_s']:,.0f} probes/s, {figures['cpu_us_per_request']:.1f} µs of CPU a request here")
    if measured.latencies:
        click.echo(
            "latency ms: " + ", ".join(f"{name[:-3]} {figures[name]:.2f}" for name in ("p50_ms", "p99_ms", "max_ms"))
        )
    for code, count in sorted(measured.errors.items()):
        click.echo(f"{count:,} × {code}: {measured.messages[code]}")
