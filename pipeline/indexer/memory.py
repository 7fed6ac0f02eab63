"""Tells what memory a build takes, or that the kernel killed a part of it for want of some."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

COUNTERS = (
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
    Path("/proc/vmstat"),
)
"""Where Linux counts such kills, as `oom_kill N`: of the container (control groups 2 or 1), of the machine."""


def oom_kills() -> int:
    """Processes killed for lack of memory so far, as far as this one can see; 0 where nobody counts."""
    found = 0
    for file in COUNTERS:
        with suppress(OSError):
            found += sum(int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith("oom_kill "))
    return found


def resident(pid: int) -> int:
    """Resident bytes of a process with all that descend from it; pages that they share count for each."""
    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):  # it ended meanwhile
                total += one.memory_info().rss
    return total
