"""Figures of a command as JSON, for other programs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import click


def write_figures(target: str, figures: Mapping[str, object]) -> None:
    """Write an object to a file, whole or not at all; '-' means standard output."""
    text = json.dumps(figures, indent=2) + "\n"
    if target == "-":
        click.echo(text, nl=False)
        return
    path = Path(target)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
