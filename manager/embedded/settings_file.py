"""The settings of an embedded stack as a file: its addresses, and what the person who started it had set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from configs.load import Loaded

PLACES = ("redis.url", "storage.bucket", "cache.folder", "dask.scheduler", "http.host", "http.matcher_port")
"""Where things are: never taken over from the settings in force, which would lead elsewhere."""

OURS = "LIM_"
"""Prefix of variables that a child does not get: what they set is in the file already."""


def settings_text(loaded: Loaded, places: Mapping[str, str | int]) -> str:
    """TOML of every setting that is not at its default, with `places` for those that say where things are."""
    found: dict[str, dict[str, Any]] = {}
    for section in fields(loaded.settings):
        values = getattr(loaded.settings, section.name)
        for field in fields(values):
            key = f"{section.name}.{field.name}"
            if key in places:
                found.setdefault(section.name, {})[field.name] = places[key]
            elif key not in PLACES and loaded.sources[key] != "default":
                found.setdefault(section.name, {})[field.name] = getattr(values, field.name)
    lines = []
    for name, chosen in found.items():
        # numbers, booleans and strings look the same in TOML and in JSON
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in chosen.items())]
    return "\n".join(lines) + "\n"


def write_private(file: Path, text: str) -> None:
    """Write whole or not at all, and for nobody else's eyes: it may hold keys."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.touch(mode=0o600)
    part.chmod(0o600)
    part.write_text(text)
    part.replace(file)
