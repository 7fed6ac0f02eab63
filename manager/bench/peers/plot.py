"""The picture of the bench: what is lost against how fast it is."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bokeh.embed import file_html
from bokeh.layouts import gridplot
from bokeh.models import ColumnDataSource, HoverTool, Range1d, Span
from bokeh.palettes import Category10
from bokeh.plotting import figure
from bokeh.resources import INLINE

from configs.errors import LimError
from pipeline.quality.ticks import plain_ticks

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
LEAST = 1e-5
"""Where no loss at all is drawn on a logarithmic axis."""

SIZE = (620, 420)
INK = "#333a45"


class NoPicture(LimError):
    """A picture that cannot be made; the message says what is missing."""


def save(entries: list[dict[str, Any]], target: float, path: Path) -> None:
    """Write the picture: `.html`, which needs nothing from elsewhere, or `.png`, drawn by a Chromium of this machine.

    Raises NoPicture for another ending, or where there is no browser.
    """
    page = file_html(_grid(entries, target), INLINE, "lim bench peers")
    if path.suffix == ".html":
        path.write_text(page, encoding="utf-8")
    elif path.suffix == ".png":
        rows = len({one["regime"] for one in entries})
        _photograph(page, path, (2 * SIZE[0] + 20, rows * SIZE[1] + 20))
    else:
        raise NoPicture(f"--plot: expected a name that ends in .html or .png, got {path.name!r}")


def _grid(entries: list[dict[str, Any]], target: float) -> Any:
    rows = []
    names = list(dict.fromkeys(one["engine"] for one in entries))
    colours = dict(zip(names, (Category10[10] * 2)[: len(names)], strict=True))
    for regime in dict.fromkeys(one["regime"] for one in entries):
        mine = [one for one in entries if one["regime"] == regime and one["qps"]]
        count = max((one["rows"] for one in mine), default=0)
        title = f"{regime}, {count:,} faces"
        rows.append([
            _drawn(mine, colours, ("added FNIR", "added_fnir", title), target),
            _drawn(mine, colours, ("1 − recall@10", "missing", title), None),
        ])  # fmt: skip
    return gridplot(rows, toolbar_location=None)


def _drawn(
    entries: list[dict[str, Any]], colours: dict[str, str], what: tuple[str, str, str], target: float | None
) -> Any:
    label, key, title = what
    plot = figure(
        title=title, x_axis_type="log", y_axis_type="log", width=SIZE[0], height=SIZE[1], toolbar_location=None,
        x_axis_label="queries a second", y_axis_label=f"{label} (lower is better; {LEAST:g} = none)", tools="",
        y_range=Range1d(LEAST / 2, 1),
    )  # fmt: skip
    across: list[float] = []
    for engine in dict.fromkeys(one["engine"] for one in entries):
        mine = [one for one in entries if one["engine"] == engine]
        data: dict[str, list[Any]] = {
            name: [str(one[name]) for one in mine] for name in ("engine", "point", "added_fnir", "recall_at_10")
        }
        values = [1 - one["recall_at_10"] if key == "missing" else one[key] for one in mine]
        data |= {"x": [one["qps"] for one in mine], "y": [max(value, LEAST) for value in values]}
        data["size"] = [16 if one["chosen"] else 7 for one in mine]
        source, colour = ColumnDataSource(data), colours[engine]
        across += data["x"]
        plot.line(*_front(data["x"], data["y"]), color=colour, alpha=0.6, width=2, legend_label=engine)
        plot.scatter("x", "y", source=source, color=colour, size="size", fill_alpha=0.6, legend_label=engine)
    if target is not None:
        plot.add_layout(Span(location=target, dimension="width", line_dash="dashed", line_color="#ef4444"))
    plot.add_tools(
        HoverTool(tooltips=[(name, f"@{name}") for name in ("engine", "point", "added_fnir", "recall_at_10")])
    )
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.axis_label_text_color = plot.axis.major_label_text_color = plot.title.text_color = INK
    plain_ticks(plot.xaxis, across)
    if plot.legend:
        plot.add_layout(plot.legend[0], "right")
    return plot


def _front(across: list[float], up: list[float]) -> tuple[list[float], list[float]]:
    """The points that no other one of the engine beats in both, by speed."""
    kept: list[tuple[float, float]] = []
    for rate, loss in sorted(zip(across, up, strict=True), reverse=True):
        if not kept or loss < kept[-1][1]:
            kept.append((rate, loss))
    return [rate for rate, _ in kept], [loss for _, loss in kept]


def _photograph(page: str, path: Path, size: tuple[int, int]) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise NoPicture(f"--plot {path.name}: expected a Chromium on this machine, found none: ask for .html")
    with tempfile.TemporaryDirectory(prefix="lim-plot-", ignore_cleanup_errors=True) as folder:
        source = Path(folder, "plot.html")
        source.write_text(page, encoding="utf-8")
        done = subprocess.run(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}",
                f"--window-size={size[0]},{size[1]}", "--virtual-time-budget=8000", f"--screenshot={path.absolute()}",
                source.as_uri(),
            ],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    if done.returncode or not path.exists():
        raise NoPicture(f"--plot {path.name}: {browser} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
