"""`lim settings`, `lim version`: what is in force."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import version as installed
from textwrap import indent
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from configs.cli import Context
from configs.hiding import visible
from configs.load import Loaded
from configs.manual import sections

WIDE = 1_000
"""Columns when the output goes to a file or a pipe, where cut lines would be of no use."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--docs", is_flag=True, help="The manual: every setting with its default and its meaning.")
@click.pass_obj
def settings(context: Context, as_json: bool, docs: bool) -> None:
    """Show the effective settings with their sources; secrets are hidden."""
    if docs:
        click.echo("\n".join(_manual()))
        return
    shown = list(effective(context.loaded))
    if as_json:
        click.echo(json.dumps({key: {"value": value, "source": source} for key, value, source in shown}, indent=1))
        return
    table = Table("setting", "value", "source", title=Text(f"settings ({context.loaded.path or 'no file'})"))
    section = ""
    for key, value, source in shown:
        if section and not key.startswith(section):
            table.add_section()
        section = key.partition(".")[0] + "."
        table.add_row(key, Text(repr(value)), Text(source, style="" if source == "default" else "bold"))
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)


@click.command()
def version() -> None:
    """Show the version."""
    click.echo(f"lim {installed('lim')}")


def effective(loaded: Loaded) -> Iterator[tuple[str, Any, str]]:
    """Key, value and source of every setting, without secrets."""
    for section in fields(loaded.settings):
        for name, value in visible(getattr(loaded.settings, section.name)).items():
            key = f"{section.name}.{name}"
            yield key, value, loaded.sources[key]


def _manual() -> Iterator[str]:
    for name, meaning, entries in sections():
        yield f"[{name}]  {meaning}\n"
        for entry in entries:
            yield f"  {entry.key} = {entry.default!r}    ({entry.values}; {entry.variable})"
            yield indent(entry.text, "      ") + "\n"
