"""`lim settings`, `lim version`: what is in force."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import version as installed
from itertools import pairwise
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from configs import settings as sections
from configs.cli import Context
from configs.load import Loaded

HIDDEN = "***"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--docs", is_flag=True, help="The manual: every setting with its default and its meaning.")
@click.pass_obj
def settings(context: Context, as_json: bool, docs: bool) -> None:
    """Show the effective settings with their sources; secrets are hidden."""
    if docs:
        for key, default, text in manual():
            click.echo(f"{key} = {default}\n    {text}\n")
        return
    shown = list(visible(context.loaded))
    if as_json:
        click.echo(json.dumps({key: {"value": value, "source": source} for key, value, source in shown}, indent=1))
        return
    table = Table("setting", "value", "source", title=f"settings ({context.loaded.path or 'no file'})")
    for key, value, source in shown:
        table.add_row(key, repr(value), source)
    Console().print(table)


@click.command()
def version() -> None:
    """Show the version."""
    click.echo(f"lim {installed('lim')}")


def visible(loaded: Loaded) -> Iterator[tuple[str, Any, str]]:
    """Key, value and source of every setting, without secrets."""
    for section in fields(loaded.settings):
        values = getattr(loaded.settings, section.name)
        for field in fields(values):
            value = getattr(values, field.name)
            if field.metadata.get("secret"):
                value = HIDDEN if value else ""
            key = f"{section.name}.{field.name}"
            yield key, without_password(value) if isinstance(value, str) else value, loaded.sources[key]


def without_password(url: str) -> str:
    """A URL whose password is hidden."""
    return re.sub(r"(://[^:/@]*):[^@/]+@", rf"\1:{HIDDEN}@", url)


def manual() -> Iterator[tuple[str, str, str]]:
    """Key, default and docstring of every setting, from the source of `configs.settings`."""
    tree = ast.parse(inspect.getsource(sections))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for section in fields(sections.Settings):
        body = classes[type(section.default).__name__].body
        for field, text in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                meaning = (
                    text.value.value if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) else ""
                )
                default = getattr(section.default, field.target.id)
                yield f"{section.name}.{field.target.id}", repr(default), str(meaning)
