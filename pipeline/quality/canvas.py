"""The empty picture that every plot begins with."""

from __future__ import annotations

from typing import Any

from bokeh.plotting import figure

INK = "#737b88"
"""Text and axes: readable on white and on dark paper alike, since the pictures have no ground of their own."""
MATE, IMPOSTOR = "#3b82f6", "#ef4444"


def empty(across: str, up: str, **axes: str) -> Any:
    """A bokeh figure without tools, as wide as its place; `axes` are figure's own, `x_axis_type="log"` for one."""
    return figure(
        x_axis_label=across, y_axis_label=up, height=300, sizing_mode="stretch_width", toolbar_location=None,
        tools="", background_fill_alpha=0, border_fill_alpha=0, outline_line_color=None, **axes,
    )  # fmt: skip


def tidied(plot: Any) -> Any:
    """Quiet colours, and the legend below the picture, where it hides nothing on a narrow screen."""
    plot.xaxis.ticker.desired_num_ticks = 5
    plot.toolbar.logo = None
    plot.axis.axis_label_text_color = plot.axis.major_label_text_color = INK
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.axis_line_color = plot.axis.major_tick_line_color = plot.axis.minor_tick_line_color = INK
    plot.grid.grid_line_color, plot.grid.grid_line_alpha = INK, 0.25
    if plot.legend:
        plot.legend.orientation = "horizontal"
        plot.legend.background_fill_alpha, plot.legend.border_line_alpha = 0, 0
        plot.legend.label_text_color = INK
        plot.legend.margin = plot.legend.padding = 0
        plot.add_layout(plot.legend[0], "below")
    return plot
