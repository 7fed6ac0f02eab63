"""Pages from templates, in the look of the page *LIM builds*."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment
from markupsafe import Markup, escape

from pipeline.notebooks.table import between, nbytes, share
from pipeline.pages import rendering as shared
from pipeline.pages.figures import span
from pipeline.web.templates import templates

STATES = {
    "pending": "waiting", "indexing": "building", "success": "published", "error": "failed", "cancelled": "cancelled",
}  # fmt: skip
"""States of tasks as a person reads them."""

CLASSES = {"pending": "queued", "indexing": "running", "success": "published", "error": "failed"}
"""Their looks, which the style sheet of *LIM builds* knows."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What is around every page."""

    root: str
    """Relative way to where the pages lie: the server may be behind a proxy with a prefix."""
    section: str = ""
    """Which entry of the navigation the page belongs to."""
    may_write: bool = False
    """Whether buttons are shown."""
    has_session: bool = False
    form_token: str = ""
    dashboard: str = ""
    """Address of the Dask dashboard; empty = there is none."""

    @property
    def styles(self) -> tuple[Markup, ...]:
        """Of every page."""
        return shared.part("style.css"), part("manager.css")

    @property
    def script(self) -> Markup:
        """Brings what a page shows up to date."""
        return shared.part("live.js")

    def label(self, label: str) -> str:
        """Way to the page of a label."""
        if label in (".", ".."):  # which browsers resolve, quoted or not
            return f"{self.root}labels/-?name={label}"
        return f"{self.root}labels/{quote(label, safe='')}"

    def labels(self, prefix: str, number: int) -> str:
        """Way to a page of the labels that begin so."""
        return f"{self.root}labels?{urlencode({**({'q': prefix} if prefix else {}), 'page': number})}"

    def build(self, task_id: str) -> str:
        """Way to the page of a build."""
        return f"{self.root}builds/{quote(task_id, safe='')}"

    def report(self, label: str, index_id: str) -> str:
        """Way to the report of a version."""
        return f"{self.root}report?{urlencode({'label': label, 'index': index_id})}"

    def compare(self, label: str, before: str, after: str) -> str:
        """Way to two versions side by side; empty ones are chosen there."""
        chosen = {name: value for name, value in (("before", before), ("after", after)) if value}
        return f"{self.root}compare?{urlencode({'label': label, **chosen})}"

    def change(self, do: str, label: str, index_id: str) -> str:
        """Way to the page that asks before it is done: `serve` or `delete`."""
        return f"{self.root}change?{urlencode({'do': do, 'label': label, 'index': index_id})}"

    def render(self, template: str, **values: Any) -> str:
        """The page."""
        return environment().get_template(template).render(frame=self, **values)


@cache
def environment() -> Environment:
    """The templates, with what they call."""
    found = templates("manager.pages")
    found.filters |= {"span": span, "clock": clock, "ms": milliseconds, "nbytes": nbytes, "count": shared.count}
    found.filters |= {"share": share, "between": between, "signed": signed, "sentence": sentence, "coded": coded}
    found.filters |= {"words": STATES.__getitem__, "look": lambda status: CLASSES.get(status, status)}
    return found


@cache
def part(name: str) -> Markup:
    """A file of ours that goes into pages as it is."""
    return Markup(files("manager.pages").joinpath("templates", name).read_text(encoding="utf-8"))  # noqa: S704 - ours


@cache
def policy() -> str:
    """Content-Security-Policy: our own styles and script, and nothing else."""
    return shared.policy(part("manager.css"))


def clock(seconds: float | None) -> Markup:
    """A moment in the manager's time zone, with its year where that is another."""
    if not seconds:
        return Markup("–")
    moment = datetime.fromtimestamp(seconds).astimezone()
    year = "" if moment.year == datetime.now().astimezone().year else f" {moment.year}"
    shown = f"{moment:%d %b}{year} {moment:%H:%M:%S}"
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(timespec="seconds"), shown)


def milliseconds(value: float | None) -> str:
    """A short time: 0.42 ms, 12 ms."""
    return "–" if value is None else f"{value:.2g} ms" if value < 10 else f"{value:,.0f} ms"


def signed(value: float) -> str:
    """A difference with its sign."""
    return "0" if value == 0 else f"{'+' if value > 0 else '−'}{share(abs(value))}"


def coded(text: str) -> Markup:
    """A reason with its full stop, what stands between backticks as code."""
    text = text if text.endswith(tuple(".:!?")) or not text else f"{text}."
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def sentence(text: str) -> Markup:
    """A reason as a sentence of its own."""
    return coded(f"{text[:1].upper()}{text[1:]}")
