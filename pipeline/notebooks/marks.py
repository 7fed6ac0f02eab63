"""What a bokeh renderer draws, as plain figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bokeh.models import Line, Quad, Scatter


@dataclass(frozen=True, slots=True)
class Mark:
    """A line through points, a point, or a rectangle between two corners."""

    kind: str
    xs: list[float]
    ys: list[float]
    style: str
    """SVG attributes."""
    size: float = 0.0
    """Pixels across, of a point."""


def marks(renderer: Any) -> Iterator[Mark]:
    """The marks of one renderer, in their order; TypeError for a glyph that is not drawn here."""
    glyph, data = renderer.glyph, renderer.data_source.data
    if isinstance(glyph, Line):
        column = _columns(glyph, data, len(data[_field(glyph.x)]))
        yield Mark(
            "line",
            column("x"),
            column("y"),
            _stroke(glyph.line_color, glyph.line_alpha, glyph.line_width, glyph.line_dash),
        )
    elif isinstance(glyph, Scatter):
        column = _columns(glyph, data, len(data[_field(glyph.x)]))
        names = ("x", "y", "size", "fill_color", "fill_alpha", "line_color")
        for x, y, size, fill, alpha, edge in zip(*(column(name) for name in names), strict=True):
            if size > 0:
                style = f'fill="{fill}" fill-opacity="{alpha}" {_stroke(edge, 1.0, glyph.line_width, [])}'
                yield Mark("point", [x], [y], style, size)
    elif isinstance(glyph, Quad):
        column = _columns(glyph, data, len(data[_field(glyph.left)]))
        names = ("left", "right", "bottom", "top", "fill_color", "fill_alpha")
        for left, right, bottom, top, fill, alpha in zip(*(column(name) for name in names), strict=True):
            yield Mark("rectangle", [left, right], [bottom, top], f'fill="{fill}" fill-opacity="{alpha}"')
    else:
        raise TypeError(
            f"glyph: expected Line, Scatter or Quad, got {type(glyph).__name__}; draw it in pipeline.notebooks.marks"
        )


def colour_of(value: Any) -> str:
    """A colour that is one, or bokeh's grey where it differs from mark to mark."""
    return str(value) if isinstance(value, str) and value.startswith("#") else "#737b88"


def _field(value: Any) -> str:
    return str(value)


def _columns(glyph: Any, data: Any, count: int) -> Callable[[str], list[Any]]:
    """A property of every mark: its column, or the one value that all share."""

    def column(name: str) -> list[Any]:
        value = getattr(glyph, name)
        if isinstance(value, str) and value in data:
            return list(data[value])
        return [value] * count

    return column


def _stroke(colour: Any, alpha: float, width: float, dash: Any) -> str:
    dashes = f' stroke-dasharray="{" ".join(map(str, dash))}"' if dash else ""
    return f'stroke="{colour}" stroke-opacity="{alpha}" stroke-width="{width}"{dashes}'
