"""The probes of a regime in one file, so that an engine in a process of its own asks the same."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.quality.probes import ProbeSet

FILE = "probes.npz"
WORDS = ("origin", "others")


def keep(folder: Path, probes: ProbeSet) -> None:
    """Write them."""
    arrays: dict[str, Any] = {one.name: np.asarray(getattr(probes, one.name)) for one in fields(ProbeSet)}
    np.savez(folder / FILE, **(arrays | {"queries": probes.queries[:]}))


def kept(folder: Path) -> ProbeSet:
    """Read what `keep` wrote, all of it into memory."""
    with np.load(folder / FILE) as arrays:
        values: dict[str, Any] = {name: arrays[name] for name in arrays.files}
    values |= {name: str(values[name]) for name in WORDS}
    return ProbeSet(**values)
