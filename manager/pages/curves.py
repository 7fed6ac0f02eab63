"""Curves as places in a picture, which a template draws."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.notebooks.scales import Scale, named

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 100, 18, 12, 62
"""Pixels around the drawing, for ticks and the names of the axes."""

Places = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """Of one version: `side` is `before` or `after`, which the style sheet tells apart by colour as by dashes."""

    side: str
    points: Places
    chosen: Places = ()
    """Those with a ring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What is to be drawn."""

    name: str
    title: str
    about: str
    """What is seen, for people who do not see it."""
    across: str
    up: str
    curves: tuple[Curve, ...]
    is_log_up: bool = True
    is_line: bool = True
    """Points that belong together in their order; otherwise each stands for itself."""
    standing: float | None = None
    """Where a dotted line stands, on the axis across."""
    lying: float | None = None
    most: float = math.inf
    """Where the axis up ends at the latest: a share has no ticks above 1."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is to be written down: places in pixels."""

    chart: Chart
    ticks_across: list[tuple[float, str]]
    ticks_up: list[tuple[float, str]]
    paths: list[tuple[str, str]]
    """Side and path."""
    dots: list[tuple[str, float, float, bool]]
    """Side, place, whether it has a ring."""
    standing: float | None
    lying: float | None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    top: int = TOP
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see."""
        return not self.paths and not self.dots


@dataclass(frozen=True, slots=True)
class _Axes:
    across: Scale
    up: Scale

    def x(self, value: float) -> float:
        return round(LEFT + self.across.at(value) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        return round(TOP + (1 - self.up.at(value)) * (HEIGHT - TOP - BOTTOM), 1)

    def places(self, points: Places) -> Iterator[tuple[float, float]]:
        """Those that have a place: a logarithmic axis has none for 0."""
        for x, y in points:
            if x > 0 and (y > 0 or not self.up.is_log) and math.isfinite(x + y):
                yield self.x(x), self.y(y)


def drawn(chart: Chart) -> Drawn:
    """The places of everything; the axis across is logarithmic."""
    every = [point for curve in chart.curves for point in (*curve.points, *curve.chosen)]
    across = [x for x, y in every if y > 0 or not chart.is_log_up] + [one for one in (chart.standing,) if one]
    up = [y for x, y in every if x > 0] + [one for one in (chart.lying,) if one]
    axes = _Axes(Scale.over(across, is_log=True), Scale.over(up, is_log=chart.is_log_up))
    paths, dots = [], []
    for curve in chart.curves:
        places = list(axes.places(curve.points))
        if chart.is_line and places:
            paths.append((curve.side, "M" + "L".join(f"{x} {y}" for x, y in places)))
        rings = set(axes.places(curve.chosen))
        dots += [(curve.side, x, y, (x, y) in rings) for x, y in ([] if chart.is_line else places)]
    return Drawn(
        chart, [(axes.x(one), named(one)) for one in axes.across.ticks()], 
        [(axes.y(one), named(one)) for one in axes.up.ticks() if one <= chart.most],
        paths, dots, axes.x(chart.standing) if chart.standing else None, axes.y(chart.lying) if chart.lying else None,
    )  # fmt: skip
