"""CPU, memory of the processes of a build, stage by stage."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from manager.bench.builds.timed_store import Spent, taken
from pipeline.stage import Done

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Spending:
    """What a stage took."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    """Of this process, where scheduler and client live, with all workers."""
    peak: int = 0
    """Bytes that the worker of the largest resident set held at its fullest (VmHWM)."""
    moved: Spent = field(default_factory=Spent)
    """In the bucket, by all workers."""


@dataclass(slots=True)
class Meter:
    """Follows a build on the workers of a Dask client as its `Progress`."""

    client: Any
    stages: dict[str, Spending] = field(default_factory=dict)
    _cpu: float = 0.0
    _pids: list[int] = field(default_factory=list)

    def started(self, stage: str, items: int, finished: int) -> None:
        """A stage begins: peaks begin anew, a worker that died meanwhile has another number."""
        self._pids = list(self.client.run(os.getpid).values())
        for pid in self._pids:
            begin_anew(pid)
        self.client.run(taken)
        self._cpu = cpu_seconds(self._pids)

    def item(self, stage: str, done: Done) -> None:
        """Nothing is shown by item."""

    def ended(self, stage: str, seconds: float) -> None:
        """All items are done."""
        peak = max(peak_bytes(pid) for pid in self._pids)
        moved = Spent()
        for one in self.client.run(taken).values():
            moved.add(one)
        its = self.stages[stage] = Spending(seconds, cpu_seconds(self._pids) - self._cpu, peak, moved)
        logger.info("%s: %.1f s, %.1f s of CPU, %d MiB.", stage, its.seconds, its.cpu_s, its.peak >> 20)


def cpu_seconds(pids: list[int]) -> float:
    """User with system time so far, of these processes beside this one; one that has gone counts no more."""
    total = 0.0
    for pid in [os.getpid(), *pids]:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def begin_anew(pid: int) -> None:
    """Let the kernel count a process's peak from now on (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(pid: int) -> int:
    """The largest resident set of a process since then; 0 for one that has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)
