"""`lim plan`: what a build would take, before it is begun."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from configs.cli import Context
from configs.load import export_credentials
from configs.settings import Settings
from pipeline.device.choose import device
from pipeline.errors import PlanImpossible
from pipeline.planning.cluster import Cluster, bytes_of
from pipeline.planning.forecast import Forecast, forecast, in_smaller_shards
from pipeline.planning.rates import Rates, read_rates
from pipeline.planning.subject import Subject
from pipeline.planning.tables import tables
from pipeline.planning.very_many import very_many

ROWS = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
COUNT = click.IntRange(1)
WIDE = 170
"""Columns of a table that goes to a file."""


@click.command()
@click.option(
    "--rows", "several", multiple=True, type=COUNT, help="Rows of the list; may be repeated.  [default: 1 M to 1 B]"
)
@click.option("--dim", default=512, show_default=True, type=click.IntRange(2), help="Dimensions of a descriptor.")
@click.option("--kept", default=0, help="Dimensions that the projection keeps; 0 = as of face-like lists.")
@click.option("--target", type=click.FloatRange(0, 0.5, min_open=True), help="Overrides quality.added_fnir.")
@click.option(
    "--recipe", type=click.Choice(["auto", "exact", "scan", "cells", "ivfpq"]), help="Overrides build.recipe."
)
@click.option("--people", is_flag=True, help="The source names the person of each row.")
@click.option("--workers", type=COUNT, help="Dask workers; overrides dask.workers.")
@click.option("--threads", type=COUNT, help="Tasks that a worker runs at a time; overrides dask.threads_per_worker.")
@click.option("--cores", type=COUNT, help="Cores of all workers together.  [default: one a task]")
@click.option("--memory-limit", help="Memory of a worker: 4GiB, 512MB, auto; overrides dask.memory_limit.")
@click.option("--shard-bytes", type=COUNT, help="Overrides build.shard_bytes.")
@click.option("--device", "kind", type=click.Choice(["auto", "cpu", "gpu"]), help="Overrides build.device.")
@click.option("--calibrate", is_flag=True, help="First measure this machine and the bucket, half a minute at most.")
@click.option(
    "--rates", "file", type=click.Path(path_type=Path), help="Overrides plan.rates, where measured speeds are kept."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def plan(context: Context, /, several: tuple[int, ...], as_json: bool, **options: Any) -> None:
    """Recipe, cells, codes, shards, memory, bytes and time of builds, from a model of this machine's speeds."""
    settings = _settings(context.settings, options)
    cluster = _cluster(settings, options)
    file = options["file"] or rates_file(settings)
    rates = _measured(settings, cluster, file) if options["calibrate"] else read_rates(file)
    kind = device(settings.build.device).kind
    subjects = [_subject(settings, rows, kind, options) for rows in several or ROWS]
    plans = [_planned(subject, cluster, rates, alone=len(subjects) == 1) for subject in subjects]
    many = very_many(subjects[-1], cluster, rates)
    if as_json:
        found = [one.to_json() if isinstance(one, Forecast) else {"refused": one} for one in plans]
        click.echo(json.dumps({"plans": found, "very_many_cells": many}, indent=1))
        return
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    for one in tables(plans, cluster, many):
        console.print(one, soft_wrap=isinstance(one, str), highlight=False)


def _planned(subject: Subject, cluster: Cluster, rates: Rates, *, alone: bool) -> Forecast | str:
    """The plan; of several one that is impossible does not hide the others, and smaller shards are tried for it."""
    if alone:
        return forecast(subject, cluster, rates)
    try:
        return forecast(subject, cluster, rates)
    except PlanImpossible as error:
        try:
            return in_smaller_shards(subject, cluster, rates)
        except PlanImpossible:
            return str(error)


def _settings(settings: Settings, options: dict[str, Any]) -> Settings:
    build = {"recipe": options["recipe"], "shard_bytes": options["shard_bytes"], "device": options["kind"]}
    dask = {
        "workers": options["workers"], "threads_per_worker": options["threads"], "memory_limit": options["memory_limit"]
    }  # fmt: skip
    quality = {"added_fnir": options["target"]}
    return replace(
        settings, build=replace(settings.build, **_given(build)), dask=replace(settings.dask, **_given(dask)),
        quality=replace(settings.quality, **_given(quality)),
    )  # fmt: skip


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _cluster(settings: Settings, options: dict[str, Any]) -> Cluster:
    threads = settings.dask.threads_per_worker
    workers = settings.dask.workers or max(1, (os.cpu_count() or 1) // threads)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = bytes_of(settings.dask.memory_limit, workers, memory)
    return Cluster(workers=workers, threads=threads, memory_limit=limit, cores=options["cores"] or workers * threads)


def _subject(settings: Settings, rows: int, kind: str, options: dict[str, Any]) -> Subject:
    return Subject(
        rows=rows, dim=options["dim"], build=settings.build, quality=settings.quality, device=kind, kept=options["kept"],
        people=options["people"],
    )  # fmt: skip


def rates_file(settings: Settings) -> Path:
    """Where measured speeds are kept: by setting, else in the user's folder of settings."""
    return Path(settings.plan.rates or Path(click.get_app_dir("lim"), "rates.json")).expanduser()


def _measured(settings: Settings, cluster: Cluster, file: Path) -> Rates:
    from pipeline.planning.calibrating import calibrated  # only here: a plan does not need Dask

    export_credentials(settings.storage)
    rates = calibrated(settings, cluster)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.write_text(rates.to_json())
    part.replace(file)
    click.echo(f"Speeds of this machine are in {file}.", err=True)
    return rates
