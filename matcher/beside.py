"""The process that compares live requests with exact search: `python -m matcher.beside FD`.

A process, because a thread of low priority that is interrupted while it has Python's lock keeps the
event loop waiting for as long as the machine has something better to do.  FD is a byte of shared
memory that the matcher sets while it has something to do; work and results come as frames.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import msgpack
import numpy as np

from matcher.recall import RECALL_AT, Drawn, Results, judged
from pipeline.artifact import ArtifactError
from pipeline.device.threads import set_threads
from pipeline.search.comparison import Comparison

WAIT_S = 0.005
"""Seconds between looks at whether the matcher has still something to do."""

LENGTH = struct.Struct("<I")


def frame(content: Any) -> bytes:
    """A message as it travels: its length, its content."""
    data: bytes = msgpack.packb(content)
    return LENGTH.pack(len(data)) + data


def work_of(path: Path, rows: int, drawn: list[Drawn]) -> list[Any]:
    """A message that asks for a comparison."""
    return [str(path), rows, len(drawn[0].query), [[one.query.tobytes(), one.numbers.tobytes()] for one in drawn]]


def compared(work: list[Any], wait: Callable[[], None]) -> Results:
    """Do what a message asks for; `wait` is called between two blocks of rows and returns when the next may be read.

    Raises ArtifactError or OSError when the rows cannot be read.
    """
    path, rows, dim, pairs = work
    drawn = [Drawn(np.frombuffer(query, np.float32), np.frombuffer(numbers, np.int64)) for query, numbers in pairs]
    exact = Comparison(Path(path), np.stack([one.query for one in drawn]), RECALL_AT, rows=rows, dim=dim)
    try:
        wait()
        while exact.step():
            wait()
        return judged(drawn, exact)
    finally:
        exact.close()


def answered(work: list[Any], wait: Callable[[], None]) -> dict[str, Any]:
    """The message that answers one: results or an error, with CPU seconds."""
    began = time.process_time()
    try:
        found: dict[str, Any] = {"results": compared(work, wait)}
    except (ArtifactError, OSError) as error:
        found = {"error": str(error)}
    return found | {"cpu_s": time.process_time() - began}


def serve(source: BinaryIO, target: BinaryIO, busy: mmap.mmap) -> None:
    """Answer one message after the other until there are no more, or the matcher is gone."""
    parent = os.getppid()

    def wait() -> None:
        while busy[0]:
            time.sleep(WAIT_S)
            if os.getppid() != parent:
                sys.exit(0)

    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        target.write(frame(answered(msgpack.unpackb(source.read(LENGTH.unpack(head)[0])), wait)))
        target.flush()


def main() -> None:
    """Run at the lowest priority there is, and leave when the matcher does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: it is the matcher's, which tells us
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except PermissionError:  # a container may forbid any change of the scheduler
        os.nice(19)
    set_threads(1)
    with mmap.mmap(int(sys.argv[1]), 1) as busy:
        serve(sys.stdin.buffer, sys.stdout.buffer, busy)


if __name__ == "__main__":
    main()
