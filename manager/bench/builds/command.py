"""`lim bench build`: how fast indexes are made, from bucket to published."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from configs.cli import Context
from configs.settings import Settings
from manager.bench.builds.ground import STORES, Site, cores, site
from manager.bench.builds.lines import tables
from manager.bench.builds.one_build import Measured, Shape, measured
from manager.bench.builds.peer import extrapolated, hnsw
from manager.bench.peers.engine import Unavailable
from manager.demo.tables import printed
from manager.embedded.interrupting import stop_in_order
from pipeline.generate.regimes import REGIMES
from pipeline.sources.opening import open_source

COUNT = click.IntRange(1)


def _shapes(_ctx: click.Context, param: click.Parameter, value: str) -> list[Shape]:
    try:
        return [Shape.of(word) for word in value.split(",") if word]
    except ValueError:
        raise click.BadParameter(f"expected processes x threads such as 1x4,2x2, got {value!r}", param=param) from None


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, type=COUNT, help="Rows of the list.")
@click.option("--recipes", default="cells,scan", show_default=True, help="Recipes, one build each.")
@click.option(
    "--shapes", default="", callback=_shapes, help="Processes x Dask threads, e.g. 1x4,2x2,4x1; a build each."
)
@click.option("--store", default="folder", show_default=True, type=click.Choice(STORES), help="Kind of the bucket.")
@click.option("--regime", default="mixture", show_default=True, type=click.Choice(REGIMES), help="How faces are alike.")
@click.option("--probes", default=300, show_default=True, type=COUNT, help="Of the evaluation, which is not counted.")
@click.option("--hnsw-rows", default=20_000, show_default=True, help="Rows that hnswlib builds of; 0 leaves it out.")
@click.option("--extrapolate", is_flag=True, help="Say as well what hnswlib would do at --rows.")
@click.option("--work", type=click.Path(path_type=Path), help="Keep the made list here for the next run.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
@click.pass_obj
def build(context: Context, /, rows: int, shapes: list[Shape], json_file: Path | None, **how: Any) -> None:
    """Rows a second and core of builds, with the time by stage; the evaluation is shown apart."""
    stop_in_order()
    recipes = [word for word in how["recipes"].split(",") if word]
    with site(context.settings, how["store"], how["work"]) as place:
        source = place.gallery(how["regime"], rows)
        found: dict[str, Any] = {"rows": rows, "cores": cores(), "store": how["store"], "regime": how["regime"]}
        builds: list[Measured] = []
        for recipe in recipes:
            for shape in shapes or [Shape(cores(), 1)]:
                builds.append(
                    measured(source, _settings(place.settings, recipe, how["probes"]), shape, copied=shape.threads == 1)
                )
                found["builds"] = [one.to_json() | {"rows_per_core": one.rows_per_core(cores())} for one in builds]
                _write(found, json_file)  # what is there when somebody interrupts
        if how["hnsw_rows"]:
            found["hnswlib"] = _hnsw(place, source, min(how["hnsw_rows"], rows), how["extrapolate"] and rows)
    _write(found, json_file)
    for table in tables(found, builds):
        printed(table)


def _settings(settings: Settings, recipe: str, probes: int) -> Settings:
    """Those in force, with a quick evaluation whose verdict stops nothing."""
    quality = replace(settings.quality, mated_probes=probes, non_mates=probes, added_fnir=0.05)
    build: dict[str, Any] = {"recipe": recipe, "force": True}
    return replace(settings, build=replace(settings.build, **build), quality=quality)


def _hnsw(place: Site, source: str, rows: int, wanted: int) -> dict[str, Any]:
    settings = place.settings
    try:
        found = hnsw(open_source(source, settings.source, settings.images, settings.storage), rows, cores())
    except Unavailable as error:
        return {"unavailable": str(error)}
    return found | {"extrapolated": {"rows": wanted, "rows_per_core": extrapolated(found, wanted)}} if wanted else found


def _write(found: dict[str, Any], json_file: Path | None) -> None:
    if json_file is None:
        return
    part = json_file.with_name(json_file.name + ".part")
    part.write_text(json.dumps(found, indent=1) + "\n")
    part.replace(json_file)
