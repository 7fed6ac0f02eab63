"""The machines that a build is planned for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from configs.errors import ConfigError

UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
UNITS |= {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Workers that are all alike."""

    workers: int
    threads: int
    """Tasks that each runs at a time."""
    memory_limit: int
    """Bytes of each; 0 = no limit."""
    cores: int
    """Of all workers together: tasks beyond take turns."""

    @property
    def slots(self) -> int:
        """Tasks that make progress at a time."""
        return max(1, min(self.workers * self.threads, self.cores))


def bytes_of(text: str, workers: int, total: int) -> int:
    """Bytes of each worker for a memory limit as Dask writes it: `auto`, 4GiB, 512MB, 0.5 (of the machine), 0 = none.

    `total` is the machine's memory, of which `auto` gives each worker its share.  Raises ConfigError.
    """
    words = text.strip().lower()
    if words == "auto":
        return total // workers
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)", words)
    unit = UNITS.get(found[2]) if found else None
    if found is None or unit is None:
        raise ConfigError(f"memory limit: expected auto, 4GiB or 0.5, got {text!r}")
    value = float(found[1])
    return int(value * total) if not found[2] and 0 < value <= 1 else int(value * unit)
