"""Prints what commands found: a table for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 1_000
"""Columns when the output goes to a file or a pipe, where cut lines would be of no use."""

STYLES = {"success": "green", "error": "red", "cancelled": "yellow", "indexing": "cyan"}


def print_json(value: Any) -> None:
    """One JSON document."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


def print_table(heads: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Rows of texts, in which no sign is taken for a style; a state has its colour on a terminal."""
    table = Table(*heads, title=Text(title) if title else None)
    for row in rows:
        table.add_row(*(Text(text, STYLES.get(text, "")) for text in map(_text, row)))
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)


def when(moment: str | None) -> str:
    """A time of RFC 3339 in this machine's zone, to the second."""
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S}" if moment else ""


def share(value: float | None) -> str:
    """A measured share; empty where it was not measured."""
    return "" if value is None else f"{value:.4g}"


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
