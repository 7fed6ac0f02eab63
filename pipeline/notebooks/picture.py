"""A bokeh figure as a still picture, drawn without a browser, for notebooks that are read where no script runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from xml.sax.saxutils import escape

from bokeh.models import Span

from pipeline.notebooks.marks import Mark, colour_of, marks
from pipeline.notebooks.raster import png
from pipeline.notebooks.scales import Scale, named
from pipeline.quality.canvas import INK

WIDTH, HEIGHT = 680, 340
LEFT, RIGHT, TOP, BOTTOM = 66, 16, 34, 84
"""Pixels around the drawing: tick labels to the left, title above, tick labels, axis label and legend below."""
LETTER = 7.0
"""Pixels a letter of the legend takes, about."""
FONT = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"'


@dataclass(frozen=True, slots=True)
class Picture:
    """What a notebook shows."""

    svg: str
    """Attributes only, neither script nor style: it may stand in any page."""
    title: str

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        return png(self.svg), {"width": WIDTH, "height": HEIGHT}

    def __repr__(self) -> str:
        return f"[picture: {self.title}]"


def drawn(plot: Any, title: str) -> Picture:
    """The figure with lines, points, rectangles, spans and a legend; TypeError for any other glyph."""
    found = [mark for renderer in plot.renderers for mark in marks(renderer)]
    spans = [one for one in plot.center if isinstance(one, Span)]
    logs = [type(scale).__name__ == "LogScale" for scale in (plot.x_scale, plot.y_scale)]
    across = [mark.xs for mark in found] + [[one.location] for one in spans if one.dimension == "height"]
    up = [mark.ys for mark in found] + [[one.location] for one in spans if one.dimension == "width"]
    frame = _Frame(_scale(plot.x_range, across, logs[0]), _scale(plot.y_range, up, logs[1]))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" {FONT}>',
        f"<title>{escape(title)}</title>",
        f'<text x="{LEFT}" y="20" font-size="14" font-weight="600" fill="{INK}">{escape(title)}</text>',
        *frame.axes(plot.xaxis[0].axis_label or "", plot.yaxis[0].axis_label or ""),
        *(line for span in spans for line in frame.span(span)),
        *(line for mark in found for line in frame.mark(mark)),
        *_legend(plot),
        "</svg>",
    ]
    return Picture("\n".join(lines), title)


def _scale(given: Any, values: Sequence[Sequence[float]], is_log: bool) -> Scale:
    """The range that the figure sets, else one over all values."""
    if type(given).__name__ == "Range1d":
        return Scale(float(given.start), float(given.end), is_log)
    return Scale.over([value for some in values for value in some], is_log=is_log)


@dataclass(frozen=True, slots=True)
class _Frame:
    across: Scale
    up: Scale

    def x(self, value: float) -> float:
        return LEFT + self.across.at(value) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return TOP + (1 - self.up.at(value)) * (HEIGHT - TOP - BOTTOM)

    def axes(self, across: str, up: str) -> Iterator[str]:
        bottom = HEIGHT - BOTTOM
        for value in self.across.ticks():
            x = self.x(value)
            yield f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="{INK}" stroke-opacity="0.22"/>'
            yield _text(x, bottom + 16, named(value), "middle")
        for value in self.up.ticks():
            y = self.y(value)
            yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{INK}" stroke-opacity="0.22"/>'
            yield _text(LEFT - 6, y + 4, named(value), "end")
        yield f'<path d="M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}" stroke="{INK}" fill="none"/>'
        yield _text((LEFT + WIDTH - RIGHT) / 2, bottom + 36, across, "middle")
        middle = (TOP + bottom) / 2
        yield f'<g transform="rotate(-90 11 {middle})">{_text(11, middle, up, "middle")}</g>'

    def span(self, span: Any) -> Iterator[str]:
        standing = span.dimension == "height"
        at = self.x(span.location) if standing else self.y(span.location)
        path = f"M{at:.1f} {TOP}V{HEIGHT - BOTTOM}" if standing else f"M{LEFT} {at:.1f}H{WIDTH - RIGHT}"
        yield f'<path d="{path}" stroke="{colour_of(span.line_color)}" stroke-dasharray="5 4"/>'

    def mark(self, mark: Mark) -> Iterator[str]:
        if mark.kind == "line":
            places = [(self.x(x), self.y(y)) for x, y in zip(mark.xs, mark.ys, strict=True)]
            path = "".join(
                f"{'L' if math.isfinite(sum(before)) else 'M'}{x:.1f} {y:.1f}"
                for before, (x, y) in pairwise([(math.nan, math.nan), *places])
                if math.isfinite(x + y)
            )
            yield f'<path d="{path}" fill="none" {mark.style}/>'
        elif mark.kind == "point":
            x, y = self.x(mark.xs[0]), self.y(mark.ys[0])
            if math.isfinite(x + y):
                yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{mark.size / 2:.1f}" {mark.style}/>'
        else:
            left, right = (self.x(value) for value in mark.xs)
            top, bottom = self.y(mark.ys[1]), min(self.y(mark.ys[0]), HEIGHT - BOTTOM)
            size = f'width="{right - left:.1f}" height="{max(bottom - top, 0):.1f}"'
            yield f'<rect x="{left:.1f}" y="{top:.1f}" {size} {mark.style}/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" text-anchor="{anchor}" fill="{INK}">{escape(text)}</text>'


def _legend(plot: Any) -> Iterator[str]:
    x, y = float(LEFT), HEIGHT - 14
    for item in plot.legend[0].items if plot.legend else []:
        glyph, label = item.renderers[0].glyph, str(item.label.value)
        yield f'<rect x="{x:.1f}" y="{y - 9}" width="12" height="9" rx="2" fill="{colour_of(glyph.line_color)}"/>'
        yield _text(x + 17, y, label, "start")
        x += 17 + LETTER * len(label) + 18
