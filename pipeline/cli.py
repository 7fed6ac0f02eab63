"""`lim build`: descriptors in, a measured index in the bucket out."""

from __future__ import annotations

import json
import sys
import uuid
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from configs.cli import Context
from configs.load import export_credentials
from configs.settings import Settings
from pipeline.announcing import Announced
from pipeline.build import build as run_build
from pipeline.order import Order
from pipeline.progress import shown
from pipeline.stage import Runner, serial


@click.command()
@click.argument("source")
@click.option("--label", required=True, help="The list that the index is for.")
@click.option("--probes", default="", help="Labelled photos of the same people to measure with; without, pseudo-mates.")
@click.option(
    "--calibration",
    help="Overrides build.calibration: labelled descriptors of the same model that pseudo-mates are fitted to.",
)
@click.option(
    "--recipe", type=click.Choice(["auto", "exact", "scan", "cells", "ivfpq"]), help="Overrides build.recipe."
)
@click.option(
    "--scheduler", help="Overrides dask.scheduler: an address, 'serial', or '' for workers of this command's own."
)
@click.option("--force", is_flag=True, help="Publish even if the target is missed; the manifest says so.")
@click.option("--json", "json_file", help="Write the figures to this file ('-' = standard output).")
@click.option(
    "--report",
    help="Write Dask's performance report to this HTML file: what ran where, and when nothing did.",
    type=click.Path(dir_okay=False, writable=True),
)
@click.option("--run", default=lambda: uuid.uuid4().hex, hidden=True)  # what pages on the scheduler know this run by
@click.pass_obj
def build(context: Context, /, **options: Any) -> None:
    """Index SOURCE: a file, a folder or a glob of vectors (.npy, .npz, .parquet), or a folder or tar of photos."""
    settings = _settings(context.settings, options)
    export_credentials(settings.storage)
    with ExitStack() as stack:
        order = Order(options["source"], options["label"], options["probes"])
        told = Announced(stack.enter_context(shown()), order, options["run"])
        try:
            built = run_build(order, settings, lambda: _runner(settings, stack, told, options["report"]), told)
        except BaseException as error:  # Ctrl-C as well
            told.failed(error)
            raise
        told.published(built)
    figures = built.figures
    if options["json_file"]:
        _write(options["json_file"], figures)
    if options["json_file"] != "-":
        _show(figures)


def _settings(settings: Settings, options: dict[str, Any]) -> Settings:
    if options["recipe"]:
        settings = replace(settings, build=replace(settings.build, recipe=options["recipe"]))
    if options["calibration"] is not None:
        settings = replace(settings, build=replace(settings.build, calibration=options["calibration"]))
    if options["force"]:
        settings = replace(settings, build=replace(settings.build, force=True))
    if options["scheduler"] is not None:
        settings = replace(settings, dask=replace(settings.dask, scheduler=options["scheduler"]))
    return settings


def _runner(settings: Settings, stack: ExitStack, told: Announced, report: str | None) -> Runner:
    if settings.dask.scheduler == "serial":
        if report:
            raise click.UsageError("--report is about Dask workers, and dask.scheduler is 'serial': leave one of them")
        return serial
    from pipeline.graph import cluster, on_dask, reported, tell  # only here: a serial build does not need Dask

    client = stack.enter_context(cluster(settings.dask))
    Console(stderr=True).print(f"Dask dashboard: {client.dashboard_link}")
    if report:
        stack.enter_context(reported(client, report))
    return told.through(on_dask(client, settings.dask), tell(client), client.id)


def _write(target: str, figures: dict[str, Any]) -> None:
    text = json.dumps(figures, indent=1) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    path = Path(target)
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)  # whole or not at all


def _show(figures: dict[str, Any]) -> None:
    quality = figures["quality"]
    table = Table(title=f"{figures['label']}: {figures['index_id']}", show_header=False)
    rows = [
        ("rows, dimensions", f"{figures['rows']:,}, {figures['dim']}"),
        ("rejected rows", f"{figures['rejects']:,}"),
        ("recipe", f"{figures['recipe']} {figures['point']}"),
        ("built in", f"{figures['seconds']:.1f} s with {figures['cpu_s']:.1f} s of CPU in the workers"),
        ("shards", f"{figures['shards']}, of at most {figures['memory']['largest_shard']:,} bytes in memory"),
        ("bytes per vector in memory", f"{figures['memory']['bytes_per_vector']:.0f}"),
        *((name.replace("_", " "), _figure(value)) for name, value in quality.items()),
        ("report", figures["report"]),
    ]
    for name, value in rows:
        table.add_row(name, value)
    Console().print(table)


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
