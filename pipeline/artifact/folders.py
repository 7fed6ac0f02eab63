"""Folders with locks, of which a cache consists."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

USED = "used"
"""The last file in a cached folder; its time says when the folder was fetched or released last."""


def free(folder: Path) -> bool:
    """Whether nobody uses or downloads a folder."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def wait(part: Path) -> None:
    """Return when the download into `part` has ended, one way or the other."""
    with suppress(FileNotFoundError):
        lock = os.open(part, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)


def touch(folder: Path) -> None:
    """Note that the folder was used now, to the nanosecond: the kernel's own clock for files stands still for milliseconds."""
    with suppress(FileNotFoundError):  # discarded as damaged while it was held
        os.utime(folder / USED, ns=(time.time_ns(), time.time_ns()))


def used_at(folder: Path) -> int:
    """Nanoseconds; 0 for a folder that was half removed."""
    try:
        return (folder / USED).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def remove(folder: Path) -> None:
    """Remove a cached folder, with the one above it when that is empty then."""
    if folder.exists():
        shutil.rmtree(folder)
    with suppress(OSError):
        folder.parent.rmdir()
