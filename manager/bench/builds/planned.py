"""`lim bench plan`: what `lim plan` predicts beside what builds take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from configs.cli import Context
from configs.settings import Settings
from manager.bench.builds.ground import STORES, Site, cores, site
from manager.bench.builds.one_build import Measured, Shape, measured
from manager.demo.tables import printed
from manager.embedded.interrupting import stop_in_order
from pipeline.generate.faces import Generator
from pipeline.generate.regimes import REGIMES
from pipeline.planning.calibrating import calibrated
from pipeline.planning.cluster import Cluster
from pipeline.planning.command import rates_file
from pipeline.planning.forecast import Forecast, StageForecast, forecast
from pipeline.planning.rates import Rates, read_rates
from pipeline.planning.subject import Subject

ROWS = (100_000, 400_000, 1_600_000)
COUNT = click.IntRange(1)

TIME, MEMORY = 0.30, 0.15
"""How far a prediction may be from what is measured."""

SMALL = 0.05
"""Share of a build's time below which a stage is not judged by itself."""


@click.command()
@click.option(
    "--rows", "several", multiple=True, type=COUNT, help="Rows; may be repeated.  [default: 100 k, 400 k, 1.6 M]"
)
@click.option("--recipe", type=click.Choice(["auto", "exact", "scan", "cells"]), help="Overrides build.recipe.")
@click.option("--mated-probes", type=COUNT, help="Overrides quality.mated_probes: most of the time is the evaluation.")
@click.option("--non-mates", type=COUNT, help="Overrides quality.non_mates.")
@click.option("--regime", default="mixture", show_default=True, type=click.Choice(REGIMES), help="How faces are alike.")
@click.option("--store", default="folder", show_default=True, type=click.Choice(STORES), help="Kind of the bucket.")
@click.option("--shape", default="", help="Processes x Dask threads of each.  [default: a process a core]")
@click.option("--calibrate", is_flag=True, help="Measure the speeds first, and predict with them.")
@click.option("--work", type=click.Path(path_type=Path), help="Keep the made lists here for the next run.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
@click.pass_obj
def plan(context: Context, /, several: tuple[int, ...], json_file: Path | None, **how: Any) -> None:
    """Predicted time and memory of builds beside measured ones, stage by stage."""
    stop_in_order()
    shape = _shape(how["shape"])
    found: dict[str, Any] = {"cores": cores(), "shape": str(shape), "builds": []}
    with site(_settings(context.settings, how), how["store"], how["work"]) as place:
        cluster = Cluster(workers=shape.processes, threads=shape.threads, memory_limit=0, cores=cores())
        rates = calibrated(place.settings, cluster) if how["calibrate"] else read_rates(rates_file(context.settings))
        for rows in several or ROWS:
            predicted, taken = _both(place, how["regime"], rows, (shape, cluster, rates))
            found["builds"].append(compared(predicted, taken))
            printed(table(found["builds"][-1]))
            if json_file is not None:
                json_file.write_text(json.dumps(found, indent=1) + "\n")


def _shape(text: str) -> Shape:
    try:
        return Shape.of(text or f"{cores()}x1")
    except ValueError:
        raise click.BadParameter(f"--shape: expected processes x threads such as 2x1, got {text!r}") from None


def _settings(settings: Settings, how: dict[str, Any]) -> Settings:
    wanted = {"mated_probes": how["mated_probes"], "non_mates": how["non_mates"]}
    quality = replace(settings.quality, **{name: value for name, value in wanted.items() if value})
    recipe = how["recipe"] or settings.build.recipe
    return replace(settings, build=replace(settings.build, recipe=recipe, force=True), quality=quality)


def _both(place: Site, regime: str, rows: int, how: tuple[Shape, Cluster, Rates]) -> tuple[Forecast, Measured]:
    shape, cluster, rates = how
    settings = place.settings
    subject = Subject(
        rows=rows, dim=Generator(regime, 1).dim, build=settings.build, quality=settings.quality, people=True
    )
    predicted = forecast(subject, cluster, rates)  # before, so that nothing of the build is known to it
    return predicted, measured(place.gallery(regime, rows), settings, shape, copied=False)


def compared(predicted: Forecast, taken: Measured) -> dict[str, Any]:
    """Both, stage by stage and in all, with the ratios of prediction to measurement."""
    stages = [_compared(one, taken.stages[one.stage]) for one in predicted.stages]
    sums = ("predicted_s", "seconds", "predicted_core_s", "cpu_s", "items", "predicted_items")
    total: dict[str, Any] = {"stage": "in all"}
    total |= {name: sum(one[name] for one in stages) for name in sums}
    total |= {name: max(one[name] for one in stages) for name in ("predicted_peak", "peak")}
    for one in [*stages, total]:
        one["time_ratio"] = one["predicted_s"] / max(one["seconds"], 1e-9)
        one["memory_ratio"] = one["predicted_peak"] / max(one["peak"], 1)
        one["judged"] = one["seconds"] >= SMALL * total["seconds"]
    return {"rows": predicted.rows, "recipe": taken.manifest.recipe, "stages": stages, "total": total}


def _compared(one: StageForecast, its: dict[str, float]) -> dict[str, Any]:
    return {
        "stage": one.stage, "predicted_s": one.seconds, "seconds": its["seconds"], "predicted_core_s": one.core_s,
        "cpu_s": its["cpu_s"], "predicted_peak": one.peak + one.mapped, "peak": its["peak"], "items": its["items"],
        "predicted_items": one.items,
    }  # fmt: skip


def table(found: dict[str, Any]) -> Table:
    """For people."""
    columns = ("stage", "predicted", "measured", "ratio", "", "core s", "CPU s", "peak MiB", "measured", "ratio", "")
    shown = Table(*columns, title=f"lim bench plan, {found['rows']:,} rows, published: {found['recipe']}")
    for number in (1, 2, 3, 5, 6, 7, 8, 9):
        shown.columns[number].justify = "right"
    for one in found["stages"]:
        shown.add_row(*_row(one))
    shown.add_section()
    shown.add_row(*_row(found["total"]))
    return shown


def _row(one: dict[str, Any]) -> Iterator[str]:
    yield one["stage"]
    yield f"{one['predicted_s']:.2f} s"
    yield f"{one['seconds']:.2f} s"
    yield f"{one['time_ratio']:.2f}"
    yield _verdict(one["time_ratio"], TIME) if one["judged"] else ""
    yield f"{one['predicted_core_s']:.2f}"
    yield f"{one['cpu_s']:.2f}"
    yield f"{one['predicted_peak'] / (1 << 20):,.0f}"
    yield f"{one['peak'] / (1 << 20):,.0f}"
    yield f"{one['memory_ratio']:.2f}"
    yield _verdict(one["memory_ratio"], MEMORY) if one["stage"] == "in all" else ""


def _verdict(ratio: float, most: float) -> str:
    return "yes" if abs(ratio - 1) <= most else "[bold red]no[/bold red]"
