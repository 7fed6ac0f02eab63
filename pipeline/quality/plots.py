"""The pictures of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bokeh.embed import components
from bokeh.models import ColumnDataSource, HoverTool, Span
from bokeh.resources import Resources
from markupsafe import Markup

from pipeline.quality.canvas import IMPOSTOR, INK, MATE, empty, tidied
from pipeline.quality.ticks import plain_ticks

COLOURS = {"exact": "#8b93a1", "scan": "#3b82f6", "cells": "#d97706", "ivfpq": "#059669"}
MARKERS = {"": "circle", "lean": "triangle", "coarse": "square"}
"""By what follows the recipe in a candidate's name: the size of its codes."""
LEAST_SHARE = 1e-5
"""Where a share of zero is drawn on a logarithmic axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plots:
    """What is drawn."""

    curve: list[dict[str, Any]]
    chosen: dict[str, Any]
    """`name`, `nprobe` and `rerank` of the chosen point."""
    det: dict[str, list[float]]
    """The curve of errors, see `pipeline.quality.tables.det`."""
    histograms: dict[str, Any]
    threshold: float
    target: float
    fpir: float

    def html(self) -> tuple[dict[str, Markup], Markup]:
        """The places of the pictures by name, and the scripts that draw into them, bokeh's own code included."""
        script, places = components(self.figures(), wrap_script=False)
        library = Resources(mode="inline", components=["bokeh"]).render()
        whole = Markup(f"{library}<script>{script}</script>")  # noqa: S704 - bokeh made both
        return {name: Markup(place) for name, place in places.items()}, whole  # noqa: S704

    def figures(self) -> dict[str, Any]:
        """The pictures by name, as bokeh figures: `det`, `loss`, `recall`, `histogram`."""
        return {
            "det": self._det(), "loss": self._loss(), "recall": self._recall(), "histogram": self._histogram(),
        }  # fmt: skip

    def _det(self) -> Any:
        """Zeros of a logarithmic axis are left out: the lines end where nothing is missed any more."""
        plot = empty("FPIR", "FNIR", x_axis_type="log", y_axis_type="log")
        # broad below, so that an index that equals exact search does not hide it
        lines = (
            ("fpir", "fnir_exact", "exact search", COLOURS["exact"], 8),
            ("fpir_index", "fnir_index", "this index", MATE, 2),
        )
        for across, up, name, colour, width in lines:
            pairs = [(x, y) for x, y in zip(self.det[across], self.det[up], strict=True) if x > 0 and y > 0]
            line = {"color": colour, "alpha": min(1, 4 / width), "line_width": width, "legend_label": name}
            plot.line("x", "y", source=_source(pairs), **line)
        plot.add_layout(Span(location=self.fpir, dimension="height", line_dash="dotted", line_color=INK))
        plain_ticks(plot.xaxis, self.det["fpir"])
        plain_ticks(plot.yaxis, self.det["fnir_exact"] + self.det["fnir_index"])
        return tidied(plot)

    def _loss(self) -> Any:
        plot = empty("µs a request", "added FNIR, bound", x_axis_type="log", y_axis_type="log")
        plot.add_layout(Span(location=self.target, dimension="width", line_dash="dashed", line_color=IMPOSTOR))
        self._points(plot, cost, "added_fnir_bound")
        plain_ticks(plot.yaxis, [self.target, *(max(one["added_fnir_bound"], LEAST_SHARE) for one in self.curve)])
        plain_ticks(plot.xaxis, [cost(one) for one in self.curve])
        return tidied(plot)

    def _recall(self) -> Any:
        """Through the points that no other of the candidate beats: a line in batches of 256, a dashed one one by one."""
        plot = empty("requests a second", "recall@10", x_axis_type="log")
        rates = [1e6 / cost(one) for one in self.curve]
        for name, colour in self._named():
            mine = [one for one in self.curve if one["name"] == name and "speeds" in one]
            for batch, dash in ((256, "solid"), (1, "dashed")) if mine else ():
                pairs = unbeaten([(qps(one, batch), one["recall_at_10"]) for one in mine])
                rates += [rate for rate, _ in pairs]
                plot.line("x", "y", source=_source(pairs), color=colour, line_width=2, line_dash=dash)
        self._points(plot, lambda one: qps(one, 256) if "speeds" in one else 1e6 / cost(one), "recall_at_10")
        plain_ticks(plot.xaxis, rates)
        return tidied(plot)

    def _named(self) -> list[tuple[str, str]]:
        """The candidates, each in the colour of its recipe."""
        return [(name, COLOURS[name.partition("-")[0]]) for name in dict.fromkeys(one["name"] for one in self.curve)]

    def _points(self, plot: Any, across: Any, up: str) -> None:
        """The operating points; the chosen one has a ring, one that was only predicted is hollow."""
        keys = ("name", "nprobe", "rerank", "recall_at_10", "added_fnir", "added_fnir_bound")
        for name, colour in self._named():
            mine = [one for one in self.curve if one["name"] == name]
            data = {key: [one[key] for one in mine] for key in keys}
            data |= {"x": [across(one) for one in mine], "y": [max(one[up], LEAST_SHARE) for one in mine]}
            data["fill"] = [0.9 if "batch_us" in one else 0.0 for one in mine]
            data["size"] = [18 if all(one[key] == self.chosen[key] for key in self.chosen) else 0 for one in mine]
            source = ColumnDataSource(data)
            plot.scatter("x", "y", source=source, size="size", fill_alpha=0, line_color=INK, line_width=2)
            marker = MARKERS[name.partition("-")[2]]
            shape = {"marker": marker, "color": colour, "size": 10, "fill_alpha": "fill", "legend_label": name}
            plot.scatter("x", "y", source=source, **shape)
        plot.add_tools(HoverTool(tooltips=[(key.replace("_", " "), f"@{key}") for key in keys]))

    def _histogram(self) -> Any:
        plot = empty("similarity", "probes", y_axis_type="log")
        edges = self.histograms["edges"]
        for name, colour, label in (("impostors", IMPOSTOR, "nearest impostor"), ("mates", MATE, "mate")):
            bars = [
                (top, left, right)
                for top, left, right in zip(self.histograms[name], edges, edges[1:], strict=False)
                if top
            ]
            top, left, right = (list(column) for column in zip(*bars, strict=True)) if bars else ([], [], [])
            plot.quad(top=top, bottom=0.5, left=left, right=right, color=colour, alpha=0.5, legend_label=label)
        plain_ticks(plot.yaxis, [1.0, *self.histograms["impostors"], *self.histograms["mates"]])
        plot.add_layout(Span(location=self.threshold, dimension="height", line_dash="dashed", line_color=INK))
        return tidied(plot)


def cost(one: dict[str, Any]) -> float:
    """Microseconds a request of a point, measured in batches of 256, or predicted."""
    return float(one.get("batch_us", one["cost_us"]))


def qps(one: dict[str, Any], batch: int) -> float:
    """Requests a second of a measured point in batches of this size."""
    return next(float(speed["qps"]) for speed in one["speeds"] if speed["batch"] == batch)


def unbeaten(pairs: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those of the points than which none is both faster and better, slowest first."""
    kept: list[tuple[float, float]] = []
    for rate, recall in sorted(pairs, reverse=True):
        if not kept or recall > kept[-1][1]:
            kept.append((rate, recall))
    return kept[::-1]


def _source(pairs: list[tuple[float, float]]) -> ColumnDataSource:
    return ColumnDataSource({"x": [one[0] for one in pairs], "y": [one[1] for one in pairs]})
