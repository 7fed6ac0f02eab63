"""A load on matchers: as fast as answers come, or at a fixed rate."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from matcher.client import MatchClient
from matcher.errors import MatchError
from matcher.merge import Answer
from matcher.progress import Bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked: request i asks label i mod labels for probe i mod probes."""

    labels: tuple[str, ...]
    probes: NDArray[np.float32]
    requests: int
    limit: int = 10
    in_flight: int = 512
    """Requests under way at once, where there is no rate."""
    rate: float | None = None
    """Requests a second, whatever is still under way."""
    keep: bool = False
    """Whether answers are kept."""


@dataclass(slots=True)
class Measured:
    """What was measured; kept answers by request number."""

    latencies: list[float] = field(default_factory=list)
    """Seconds of answered requests, from when each was due."""
    errors: Counter[int] = field(default_factory=Counter)
    """Requests that failed, by error code."""
    messages: dict[int, str] = field(default_factory=dict)
    """The first message of each code."""
    answers: dict[int, Answer] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of this process."""

    def failed(self, error: MatchError) -> None:
        """Count a failure."""
        self.errors[error.error_code] += 1
        self.messages.setdefault(error.error_code, str(error))

    def figures(self) -> dict[str, Any]:
        """As fields of JSON; milliseconds are of answered requests."""
        answered, failed = len(self.latencies), self.errors.total()
        points = np.percentile(self.latencies, [50, 99, 100]) * 1e3 if answered else [None] * 3
        return {
            "requests": answered + failed, "answered": answered,
            "errors": {str(code): count for code, count in sorted(self.errors.items())},
            "seconds": self.seconds, "probes_per_s": answered / self.seconds,
            **dict(zip(("p50_ms", "p99_ms", "max_ms"), map(_plain, points), strict=True)),
            "cpu_us_per_request": self.cpu_seconds / (answered + failed) * 1e6,
        }  # fmt: skip


def _plain(point: Any) -> float | None:
    return None if point is None else float(point)


async def run(client: MatchClient, load: Load, bar: Bar) -> Measured:
    """Put the load on; raises the MatchError of the first request, which is not measured."""
    await client.match(load.labels[0], load.probes[0], limit=load.limit)  # connections, routes and pages are there
    measured = Measured()
    began, cpu = time.perf_counter(), time.process_time()
    if load.rate is None:
        await _at_once(client, load, measured, bar)
    else:
        await _at_rate(client, load, measured, bar)
    measured.seconds, measured.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    return measured


async def _at_once(client: MatchClient, load: Load, measured: Measured, bar: Bar) -> None:
    numbers = iter(range(load.requests))

    async def ask() -> None:
        for number in numbers:
            due = time.perf_counter()
            label, probe = load.labels[number % len(load.labels)], load.probes[number % len(load.probes)]
            try:
                answer = await client.match(label, probe, limit=load.limit)
            except MatchError as error:
                measured.failed(error)
            else:
                measured.latencies.append(time.perf_counter() - due)
                if load.keep:
                    measured.answers[number] = answer
            bar.advance()

    await asyncio.gather(*(ask() for _ in range(load.in_flight)))


async def _at_rate(client: MatchClient, load: Load, measured: Measured, bar: Bar) -> None:
    """Requests are due at fixed times, and late ones count from then: a stall is not left out of the latencies."""
    pause_s = 1 / load.rate if load.rate else 0.0
    began = time.perf_counter()
    flying: set[asyncio.Future[Answer]] = set()
    for number in range(load.requests):
        due = began + number * pause_s
        if (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        label, probe = load.labels[number % len(load.labels)], load.probes[number % len(load.probes)]
        try:
            future = await client.send(label, probe, limit=load.limit)
        except MatchError as error:
            measured.failed(error)
            bar.advance()
            continue
        flying.add(future)
        future.add_done_callback(flying.discard)
        future.add_done_callback(_landing(measured, load, bar, (number, due)))
    while flying:
        await asyncio.wait(flying)


def _landing(measured: Measured, load: Load, bar: Bar, about: tuple[int, float]) -> Any:
    number, due = about

    def landed(future: asyncio.Future[Answer]) -> None:
        error = future.exception()
        if isinstance(error, MatchError):
            measured.failed(error)
        elif error is None:
            measured.latencies.append(time.perf_counter() - due)
            if load.keep:
                measured.answers[number] = future.result()
        bar.advance()

    return landed
