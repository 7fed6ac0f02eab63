"""Memory of a process with all that it started."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil


class Memory(NamedTuple):
    """Bytes in memory; what processes share counts once, by the kernel's proportional shares."""

    anonymous: int
    """Of its own, shared segments included: it cannot be dropped."""
    mapped: int
    """Pages of mapped files, which the kernel may drop."""


def usage(pid: int) -> Memory:
    """Of a process and its descendants, from /proc/PID/smaps_rollup."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    parts = [_of(one.pid) for one in family]
    return Memory(sum(one.anonymous for one in parts), sum(one.mapped for one in parts))


def _of(pid: int) -> Memory:
    found: dict[str, int] = {}
    # a child may end while it is read; then it has no memory
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, _, value = line.partition(":")
            found[name] = int(value.split()[0]) * 1024
    return Memory(found.get("Pss_Anon", 0) + found.get("Pss_Shmem", 0), found.get("Pss_File", 0))
