"""Dataclasses from JSON, strictly: what is unknown, missing or of the wrong type is named."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from pipeline.artifact.errors import ArtifactCorrupt

T = TypeVar("T")


def built(kind: type[T], value: Any, where: str) -> T:
    """An instance of the dataclass `kind`; raises ArtifactCorrupt with the path of the key that is wrong."""
    if not isinstance(value, dict):
        raise ArtifactCorrupt(f"{where}: expected an object, got {type(value).__name__}")
    hints = _hints(cast(Any, kind))
    if unknown := sorted(set(value) - set(hints)):
        raise ArtifactCorrupt(f"{where}: expected only {', '.join(hints)}; got {unknown[0]!r} as well")
    needed = [field.name for field in fields(cast(Any, kind)) if field.default is MISSING]
    if missing := [name for name in needed if name not in value]:
        raise ArtifactCorrupt(f"{where}: expected {missing[0]!r}, got nothing under that name")
    return kind(**{name: _typed(hints[name], item, f"{where}: {name}") for name, item in value.items()})


@cache
def _hints(kind: type[Any]) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _typed(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint):
        return built(cast(type[Any], hint), value, where)
    origin, inner = get_origin(hint), get_args(hint)
    if origin is tuple and isinstance(value, list):
        return tuple(_typed(inner[0], item, f"{where}[{number}]") for number, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: _typed(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin is types.UnionType and (value is None or isinstance(value, inner[0])):
        return value
    if hint is Any or type(value) is hint or (hint is float and type(value) is int):
        return value
    raise ArtifactCorrupt(
        f"{where}: expected {getattr(hint, '__name__', hint)}, got {type(value).__name__} {value!r:.40}"
    )
