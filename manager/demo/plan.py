"""What a demo run does, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LABEL = "demo"


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of `lim demo`."""

    rows: int
    probes: int
    """Probes streamed through Redis; as many others measure the index."""
    checked: int
    """Streamed probes that are compared with exact search."""
    source: str
    images: str
    models: str
    s3: bool
    workers: int
    out: Path
    """Folder that stays: report, figures, logs."""
    recipe: str
