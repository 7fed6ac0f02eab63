"""Watches what processes that build take: the peak of their resident memory, mapped pages included."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

EVERY_S = 0.5
"""Seconds between looks; the kernel keeps the peak, so that only what a process did in its last moment is missed."""


def peak(pid: int) -> int:
    """Bytes of `VmHWM`; 0 for a process that is gone."""
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) << 10 if found else 0
    return 0


def forget_peak(pid: int) -> None:
    """Let the kernel count the peak from what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def workers_of(parent: int) -> set[int]:
    """The processes that Dask's nannies below `parent` started."""
    found = set()
    with suppress(psutil.Error):
        for child in psutil.Process(parent).children(recursive=True):
            with suppress(psutil.Error):
                if "spawn_main" in " ".join(child.cmdline()):
                    found.add(child.pid)
    return found


@contextmanager
def watched(parent: int) -> Iterator[dict[int, int]]:
    """Peaks by process of all workers below `parent` that lived during the block."""
    peaks: dict[int, int] = {}
    stop = threading.Event()

    def look() -> None:
        for pid in workers_of(parent):
            peaks[pid] = max(peaks.get(pid, 0), peak(pid))

    def follow() -> None:
        while not stop.wait(EVERY_S):
            look()

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield peaks
    finally:
        stop.set()
        thread.join()
