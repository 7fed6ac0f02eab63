"""The pictures of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.embed import components
from bokeh.models import ColumnDataSource, HoverTool, Span
from bokeh.plotting import figure
from bokeh.resources import INLINE
from markupsafe import Markup

from pipeline.quality.arrays import Floats

COLOURS = {"exact": "#6b7280", "scan": "#2563eb", "cells": "#d97706", "ivfpq": "#059669"}
LEAST_SHARE = 1e-5
"""Where a share of zero is drawn on a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class Plots:
    """What is drawn."""

    curve: list[dict[str, Any]]
    thresholds: list[dict[str, float]]
    mates: Floats
    """(m,) similarity of the best mate found; -1 where none was."""
    others: Floats
    """(n,) similarity of the best non-mate."""
    threshold: float

    def html(self) -> tuple[list[Markup], Markup]:
        """The places of the pictures, and the scripts that draw into them, bokeh's own code included."""
        script, places = components([self._det(), self._points(), self._histogram()], wrap_script=False)
        whole = INLINE.render() + f"<script>{script}</script>"
        return [Markup(place) for place in places], Markup(whole)  # noqa: S704 - bokeh made both

    def _det(self) -> Any:
        plot = _plot("What is missed at each false alarm rate", "FPIR", "FNIR", x_axis_type="log")
        fpirs = [one["fpir"] for one in self.thresholds]
        for name, colour, dash in (("exact_fnir", "#6b7280", "dashed"), ("fnir", "#2563eb", "solid")):
            label = "exact search" if name == "exact_fnir" else "this index"
            values = [one[name] for one in self.thresholds]
            plot.line(fpirs, values, color=colour, line_dash=dash, line_width=2, legend_label=label)
            plot.scatter(fpirs, values, color=colour, size=6, legend_label=label)
        plot.legend.location = "top_right"
        return plot

    def _points(self) -> Any:
        plot = _plot(
            "Operating points",
            "µs of one core per request (measured, else predicted)",
            "added FNIR + 1e-5",
            y_axis_type="log",
        )
        for name, colour in COLOURS.items():
            mine = [one for one in self.curve if one["name"] == name]
            if mine:
                data = {
                    key: [one.get(key) for one in mine] for key in ("nprobe", "rerank", "recall_at_10", "added_fnir")
                }
                data["x"] = [one.get("batch_us", one["cost_us"]) for one in mine]
                data["y"] = [one["added_fnir"] + LEAST_SHARE for one in mine]
                plot.scatter("x", "y", source=ColumnDataSource(data), color=colour, size=9, legend_label=name)
        plot.add_tools(
            HoverTool(tooltips=[(key, f"@{key}") for key in ("nprobe", "rerank", "recall_at_10", "added_fnir")])
        )
        return plot

    def _histogram(self) -> Any:
        plot = _plot("Similarities of mates and of the nearest impostors", "similarity", "share of probes")
        edges = np.linspace(-0.2, 1, 61)
        for values, colour, label in (
            (self.others, "#dc2626", "nearest impostor"),
            (self.mates[self.mates > -1], "#2563eb", "mate"),
        ):
            counts, _ = np.histogram(values, edges)
            heights = counts / max(len(values), 1)
            plot.quad(
                top=heights, bottom=0, left=edges[:-1], right=edges[1:], color=colour, alpha=0.45, legend_label=label
            )
        plot.add_layout(Span(location=self.threshold, dimension="height", line_dash="dashed", line_color="#111827"))
        return plot


def _plot(title: str, across: str, up: str, **axes: str) -> Any:
    return figure(
        title=title, x_axis_label=across, y_axis_label=up, height=320, sizing_mode="stretch_width", toolbar_location=None,
        tools="", **axes,
    )  # fmt: skip
