"""The command `lim generate`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.generate.faces import Faces, Generator
from pipeline.generate.making import gallery, probes
from pipeline.generate.regimes import REGIMES
from pipeline.generate.writers import write
from pipeline.sources.places import Place

if TYPE_CHECKING:
    from configs.cli import Context


@click.command()
@click.option("--rows", type=click.IntRange(min=1), required=True, help="People, each with one descriptor.")
@click.option("--dim", type=click.IntRange(min=2), default=512, show_default=True, help="512 for mixture and tree.")
@click.option("--regime", type=click.Choice(REGIMES), default="mixture", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The same seed, the same faces.")
@click.option("--out", required=True, help="URL that ends in .parquet, .npy, or / for a folder of Parquet files.")
@click.option(
    "--probes", "count", type=click.IntRange(min=0), default=0, help="Other photos of this many of the people."
)
@click.option("--probes-out", default="", help="Where the probes go: a URL as for --out.")
@click.option("--json", "report", default="", metavar="FILE", help="Write the figures there, - for standard output.")
@click.pass_obj
def generate(context: Context, /, **options: Any) -> None:
    """Make face-like descriptors of people who do not exist, with ids, person labels and probes."""
    count, where = options["count"], options["probes_out"]
    if bool(count) != bool(where):
        raise click.UsageError(f"--probes and --probes-out go together, got --probes {count} --probes-out {where!r}")
    generator, storage = Generator(options["regime"], options["seed"], options["dim"]), context.settings.storage
    out, rows = Place.of(options["out"], storage), options["rows"]
    figures = {"rows": rows, "dim": generator.dim, "regime": generator.regime, "seed": generator.seed, "out": out.url}
    figures |= save("Descriptors", generator, gallery(generator, rows), out, rows)
    if count:
        figures |= {"probes": count, "probes_out": where}
        save("Probes", generator, probes(generator, rows, count), Place.of(where, storage), count)
    if report := options["report"]:
        text = json.dumps(figures, indent=1) + "\n"
        click.echo(text, nl=False) if report == "-" else Path(report).write_text(text)


def save(what: str, generator: Generator, chunks: Iterator[Faces], place: Place, rows: int) -> dict[str, float]:
    """Write the chunks with a progress bar; returns seconds and rows per second."""
    started = time.monotonic()
    console = Console(stderr=True)
    speed = TextColumn("{task.fields[speed]:>9,.0f} rows/s")
    columns = TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), speed, TimeRemainingColumn()
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        task = progress.add_task(what, total=rows, speed=0.0)
        done = 0
        for some in write(place, chunks, rows=rows, dim=generator.dim, version=generator.version):
            done += some
            progress.update(task, advance=some, speed=done / (time.monotonic() - started))
    seconds = time.monotonic() - started
    console.print(
        f"{what}: {rows:,} rows of {generator.dim} in {place.url}, {rows / seconds:,.0f} rows/s", soft_wrap=True
    )
    return {"seconds": round(seconds, 3), "rows_per_s": round(rows / seconds, 1)}
