"""The manual of the settings, from the docstrings under their fields."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, cast

from configs import settings
from configs.kinds import described
from configs.load import known, variable


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting; `text` is empty where it has no docstring."""

    key: str
    default: Any
    values: str
    variable: str
    text: str


def sections() -> Iterator[tuple[str, str, list[Entry]]]:
    """Name, meaning and settings of every section."""
    tree = ast.parse(inspect.getsource(settings))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for section in fields(settings.Settings):
        node = classes[type(section.default).__name__]
        texts = _texts(node)
        entries = []
        for field in fields(cast(Any, section.default)):
            key = f"{section.name}.{field.name}"
            entries.append(
                Entry(key, field.default, described(known()[key].kind), variable(key), texts.get(field.name, ""))
            )
        yield section.name, ast.get_docstring(node) or "", entries


def _texts(node: ast.ClassDef) -> dict[str, str]:
    """The string under each field."""
    found = {}
    for field, below in pairwise(node.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            found[field.target.id] = inspect.cleandoc(ast.literal_eval(below.value))
    return found
