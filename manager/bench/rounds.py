"""The stream beside calling the index directly, in turns."""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manager.demo.commands import command
from manager.demo.direct import direct_per_s
from manager.demo.plan import LABEL
from manager.demo.steps import LIMIT, Faces, stream, vectors
from manager.demo.usage import usage
from manager.embedded.stack import Stack
from pipeline.device.threads import set_threads
from pipeline.search.index import Index

SINGLES = 500
"""Requests of a round in which one is sent when the one before is answered."""

CORES = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Round:
    """One round: direct calls and the stream, one after the other.  Microseconds are CPU per request."""

    direct_per_s: float
    probes_per_s: float
    p99_ms: float
    redis_us: float
    matcher_us: float
    """Outside the search."""
    client_us: float
    search_us: float

    @property
    def overhead_us(self) -> float:
        """CPU of all three outside the search."""
        return self.redis_us + self.matcher_us + self.client_us

    @property
    def of_model(self) -> float:
        """Streamed rate over 1 / (time of a request called directly + that overhead / cores)."""
        return self.probes_per_s * (1 / self.direct_per_s + self.overhead_us / CORES / 1e6)


def rounds(stack: Stack, index: Index, faces: Faces, count: int, repeats: int) -> list[Round]:
    """Interleaved, so that a slow moment of the machine touches both."""
    done, probes = [], vectors(faces.stream)
    for _ in range(repeats):
        direct = direct_per_s(index, probes)
        before = usage(stack)
        streamed, _ = stream(stack, faces, count)
        spent = usage(stack).since(before)
        per = 1e6 / streamed["answered"]
        done.append(
            Round(
                direct,
                streamed["probes_per_s"],
                streamed["p99_ms"],
                spent.redis * per,
                (spent.matcher - spent.search) * per,
                streamed["cpu_us_per_request"],
                spent.search * per,
            )
        )
    return done


def medians(done: list[Round]) -> dict[str, float]:
    """Of each figure over the rounds; the ratio is taken within each round."""
    names = [field.name for field in fields(Round)] + ["overhead_us", "of_model"]
    return {name: statistics.median(getattr(one, name) for one in done) for name in names}


def paced(stack: Stack, faces: Faces, rate: float, seconds: float) -> dict[str, Any]:
    """Latency at a fixed rate."""
    return command(
        stack, "load", "--label", LABEL, "--probes", str(faces.stream), "--requests", str(int(rate * seconds)),
        "--rate", str(rate),
    )  # fmt: skip


def single(stack: Stack, index: Index, faces: Faces, repeats: int) -> dict[str, float]:
    """One request at a time: the index called directly, then through Redis, in turns; medians over the rounds.

    Milliseconds as the caller sees them; `matcher_us` is CPU of the matcher outside the search, a request.
    """
    probes, done = vectors(faces.stream)[:SINGLES], []
    for _ in range(repeats):
        direct = _one_by_one(index, probes)
        before = usage(stack)
        said = command(
            stack,
            "load",
            "--label",
            LABEL,
            "--probes",
            str(faces.stream),
            "--requests",
            str(SINGLES),
            "--in-flight",
            "1",
        )
        spent = usage(stack).since(before)
        done.append({
            "direct_p50_ms": statistics.median(direct) * 1e3, "p50_ms": said["p50_ms"], "p99_ms": said["p99_ms"],
            "matcher_us": (spent.matcher - spent.search) / SINGLES * 1e6,
        })  # fmt: skip
    return {name: statistics.median(one[name] for one in done) for name in done[0]}


def _one_by_one(index: Index, probes: NDArray[np.float32]) -> list[float]:
    """Seconds of each of so many direct calls on one native thread, as the matcher makes them."""
    seconds = []
    with ThreadPoolExecutor(1, "direct", initializer=set_threads, initargs=(1,)) as pool:
        for number in range(len(probes)):
            began = time.perf_counter()
            pool.submit(index.search, probes[number : number + 1], LIMIT).result()
            seconds.append(time.perf_counter() - began)
    return seconds
