"""What capacity.ipynb shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from bokeh.models import Span

from pipeline.notebooks.building import StageTime, wall_seconds
from pipeline.notebooks.capacity import Need, Option, options, recipe_named
from pipeline.notebooks.picture import Picture, drawn
from pipeline.notebooks.table import Table, count, nbytes, seconds
from pipeline.quality.canvas import IMPOSTOR, empty, tidied
from pipeline.quality.plots import COLOURS
from pipeline.quality.reading import Report

DASHES = {"lean": "dashed", "coarse": "dotted"}
"""How shorter codes of the same recipe are drawn."""


def basis(report: Report) -> Table:
    """What the plan is taken from."""
    manifest, decision = report.manifest, report.data["decision"]
    build = report.data["spec"]["build"]
    rows = (
        ("label, index", f"{manifest.label}, {manifest.index_id}"),
        ("rows, dimensions", f"{manifest.count:,} × {manifest.descriptor.dim}"),
        ("measured points", f"{sum('speeds' in one for one in report.curve)}"),
        ("chosen", decision["reason"]),
        ("threads of a task", f"{build['threads_per_task']}"),
    )
    return Table(("measured index", ""), rows)


def option_table(found: list[Option]) -> Table:
    """The recipes, fewest machines first."""
    columns = (
        "recipe", "probed", "re-ranked", "memory", "mapped", "µs a request", "requests/s of a core", "alone, ms", "shards", "matchers",
        "taken from",
    )  # fmt: skip
    return Table(
        columns,
        tuple(
            (
                one.name, f"{one.point.nprobe:,}", f"{one.point.rerank:,}", nbytes(one.memory.anonymous),
                nbytes(one.memory.mapped), count(one.request_us), count(one.per_core), count(one.alone_ms),
                f"{one.shards:,}",
                f"{one.matchers:,}", one.basis,
            )
            for one in found
        ),
    )  # fmt: skip


def stage_table(times: list[StageTime]) -> Table:
    """The stages of the planned build, longest first, with their sum."""
    rows = [
        (
            one.stage, seconds(one.measured_s), seconds(one.planned_s), f"{one.at_once}", seconds(one.wall_s),
            "the rows" if one.grows else "a sample, or the probes",
        )
        for one in times
    ]  # fmt: skip
    rows.append(("all", "", "", "", seconds(wall_seconds(times)), ""))
    columns = (
        "stage",
        "measured, of tasks",
        "planned, of tasks",
        "workers busy",
        "planned, by the clock",
        "grows with",
    )
    return Table(columns, tuple(rows))


def growth(need: Need, report: Report) -> Picture:
    """Memory of each recipe against the rows of the list, with what a machine has to spare."""
    plot = empty("rows", "gigabytes of memory", x_axis_type="log", y_axis_type="log")
    sizes = [round(one) for one in np.geomspace(need.rows / 100, need.rows * 10, 13)]
    found = [(rows, one) for rows in sizes for one in options(replace(need, rows=rows), report)]
    for name in sorted({one.name for _, one in found}):
        mine = [(rows, one.memory.anonymous / 1e9) for rows, one in found if one.name == name]
        xs, ys = [one[0] for one in mine], [one[1] for one in mine]
        dash = DASHES.get(name.partition("-")[2], "solid")
        plot.line(xs, ys, color=COLOURS[recipe_named(name)], line_width=2.5, line_dash=dash, legend_label=name)
    plot.add_layout(
        Span(location=need.machine.usable / 1e9, dimension="width", line_dash="dashed", line_color=IMPOSTOR)
    )
    plot.add_layout(Span(location=need.rows, dimension="height", line_dash="dotted", line_color=IMPOSTOR))
    return drawn(tidied(plot), "Memory of the list as it grows")
