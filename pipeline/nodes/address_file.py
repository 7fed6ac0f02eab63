"""Tells another process where something listens."""

from __future__ import annotations

import json
from pathlib import Path


def write_addresses(file: Path | None, addresses: dict[str, str]) -> None:
    """Write addresses as JSON, whole or not at all; nothing without a file."""
    if file is None:
        return
    part = file.with_name(f".{file.name}.part")
    part.write_text(json.dumps(addresses))
    part.replace(file)
