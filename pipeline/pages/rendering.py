"""Pages from templates, with what every page has."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from pipeline.pages.figures import span
from pipeline.web.templates import templates

WORDS = {
    "queued": "waiting for its turn", "starting": "starting", "running": "running", "published": "published",
    "failed": "failed", "cancelled": "cancelled", "stopped": "stopped",
}  # fmt: skip
"""States as a person reads them."""

REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; img-src data: blob:; "
    "sandbox allow-scripts"
)
"""A report is shown as if it came from another site: its scripts draw (Bokeh evaluates text), and reach nothing."""


@cache
def environment() -> Environment:
    """The templates, with what they call."""
    found = templates("pipeline.pages")
    found.filters |= {"span": span, "clock": clock, "count": count, "words": WORDS.__getitem__}
    return found


@dataclass(frozen=True, slots=True)
class Frame:
    """What is around every page."""

    root: str
    """Relative way to where `lim` and the dashboard's pages lie: the server may be behind a proxy with a prefix."""
    is_open: bool
    form_token: str = ""
    dashboard: list[str] = field(default_factory=list)
    manager: str = ""
    """Address of the manager's pages; empty = there is none."""

    @property
    def style(self) -> Markup:
        """Of every page."""
        return part("style.css")

    @property
    def script(self) -> Markup:
        """Brings what a page shows up to date."""
        return part("live.js")

    def render(self, template: str, **values: Any) -> str:
        """The page."""
        return environment().get_template(template).render(frame=self, **values)


@cache
def part(name: str) -> Markup:
    """A file of ours that goes into pages as it is."""
    return Markup(files("pipeline.pages").joinpath("templates", name).read_text(encoding="utf-8"))  # noqa: S704 - ours


@cache
def policy(*styles: str) -> str:
    """Content-Security-Policy: our own style and script run, known by their hashes, and nothing else does.

    `styles` are those of other pages, after ours.
    """
    mine, script = [_hash(one) for one in (part("style.css"), *styles)], _hash(part("live.js"))
    return (
        f"default-src 'none'; style-src {' '.join(mine)}; script-src {script}; "
        "connect-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def clock(seconds: float | None) -> str:
    """A moment in the scheduler's own time zone."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%d %b %H:%M:%S}" if seconds else "–"


def count(number: float | None) -> str:
    """A number with separators."""
    return "–" if number is None else "< 1" if 0 < number < 1 else f"{number:,.0f}"
