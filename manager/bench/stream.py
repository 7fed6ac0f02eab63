"""The wire beside calling the index directly, then many quiet lists beside a flooded one."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.settings import Storage
from manager.bench.labels import publish_lists
from manager.demo import steps
from manager.demo.check import direct_per_s
from manager.demo.plan import LABEL
from manager.demo.usage import usage
from manager.embedded.processes import dying_with_us
from manager.embedded.stack import Stack, lim
from pipeline.artifact import open_store
from pipeline.search.index import Index

CORES = os.cpu_count() or 1
QUIET_RATE = 200
FLOOD = 4


@dataclass(frozen=True, slots=True)
class Round:
    """One round: direct calls and the stream, one after the other."""

    direct_per_s: float
    probes_per_s: float
    redis_us: float
    matcher_us: float
    client_us: float

    @property
    def overhead_us(self) -> float:
        """CPU of all three outside the search, per request."""
        return self.redis_us + self.matcher_us + self.client_us

    @property
    def of_model(self) -> float:
        """Streamed rate over what is left when that overhead shares the cores with the search."""
        return self.probes_per_s * (1 / self.direct_per_s + self.overhead_us / CORES / 1e6)


def rounds(
    stack: Stack, index: Index, probes: Path, vectors: NDArray[np.float32], count: int, repeats: int
) -> list[Round]:
    """Interleaved, so that a slow moment of the machine touches both."""
    done = []
    for _ in range(repeats):
        direct = direct_per_s(index, vectors)
        before = usage(stack)
        streamed, _ = steps.stream(stack, probes, count)
        spent = usage(stack).since(before)
        per = 1e6 / streamed["answered"]
        done.append(
            Round(
                direct,
                streamed["probes_per_s"],
                spent.redis * per,
                (spent.matcher - spent.search) * per,
                streamed["cpu_us_per_request"],
            )  # fmt: skip
        )
    return done


def paced(stack: Stack, probes: Path, rate: float, seconds: float = 5.0) -> dict[str, Any]:
    """Latency at a fixed rate."""
    return steps.command(
        stack, "load", "--label", LABEL, "--probes", str(probes), "--requests", str(int(rate * seconds)), "--rate", str(rate)
    )  # fmt: skip


def quiet_and_flooded(stack: Stack, probes: Path, lists: int) -> dict[str, Any]:
    """p99 of many quiet lists without, then with, another list flooded at four times what it can take."""
    names = [f"list-{number:04d}" for number in range(lists)]
    store = open_store(stack.bucket, Storage(endpoint_url=stack.endpoint_url))
    publish_lists(store, [*names, "flooded"], 512, "generated")
    file = stack.folder / "labels.txt"
    file.write_text("\n".join(names))
    steps.wait_labels(stack, lists + 1)
    capacity = _load(stack, "capacity", "--label", "flooded", "--probes", str(probes), "--requests", "30000").finish()
    quiet = (
        "--labels-from",
        str(file),
        "--probes",
        str(probes),
        "--rate",
        str(QUIET_RATE),
        "--requests",
        str(QUIET_RATE * 10),
    )
    _load(stack, "warm", *quiet).finish()
    alone = _load(stack, "alone", *quiet).finish()
    rate = FLOOD * capacity["probes_per_s"]
    flood = _load(
        stack,
        "flood",
        "--label",
        "flooded",
        "--probes",
        str(probes),
        "--rate",
        str(rate),
        "--requests",
        str(int(rate * 14)),
    )
    flooded = _load(stack, "flooded", *quiet).finish()
    flood.stop()
    return {
        "lists": lists, "capacity_per_s": capacity["probes_per_s"], "flood_per_s": rate, "alone_p99_ms": alone["p99_ms"],
        "flooded_p99_ms": flooded["p99_ms"], "errors": flooded["errors"],
        "ratio": flooded["p99_ms"] / max(alone["p99_ms"], 5.0),
    }  # fmt: skip


@dataclass(slots=True)
class _Load:
    process: subprocess.Popen[bytes]
    figures: Path

    def finish(self) -> dict[str, Any]:
        self.process.wait()
        return json.loads(self.figures.read_text())  # type: ignore[no-any-return]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def _load(stack: Stack, name: str, *arguments: str) -> _Load:
    figures = stack.folder / f"load-{name}.json"
    process = subprocess.Popen(
        lim("load", *arguments, "--json", str(figures)), env={**os.environ, **stack.environ()}, stdin=subprocess.DEVNULL,
        preexec_fn=dying_with_us(),  # noqa: PLW1509 - one prctl, which takes no lock
    )  # fmt: skip
    return _Load(process, figures)


def summary(done: list[Round]) -> dict[str, float]:
    """Medians over the rounds."""
    names = ("direct_per_s", "probes_per_s", "redis_us", "matcher_us", "client_us", "overhead_us", "of_model")
    return {name: statistics.median(getattr(one, name) for one in done) for name in names}
