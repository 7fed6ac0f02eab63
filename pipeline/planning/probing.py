"""Short pieces of each kind of work, timed in one worker: the functions are those that a build calls."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import numpy as np

from pipeline import stages as stages  # a worker's size is that of one that knows all stages
from pipeline.artifact import Ids
from pipeline.device.cpu import Cpu
from pipeline.device.threads import pinned
from pipeline.device.verbs import Floats
from pipeline.hashing import keys_of
from pipeline.search.assembly import Model, coded_index
from pipeline.sources.names import bad_ids, from_array
from pipeline.sources.normalise import Scale, normalise
from pipeline.workspace import Work

DIM, OUT, CELLS, GROUPS = 512, 160, 1_024, 80
OBJECT = 25 << 20
"""Bytes of an object: the rows of a partition."""

BUCKET = ("read", "write", "requests")
"""Kinds that wait for the bucket."""

Probe = Callable[[np.random.Generator, Work], tuple[Callable[[], object], float]]
"""Prepares, then gives what is to be timed with the units that one call does."""


def speed(name: str, seconds: float, work: Work) -> float:
    """Units a second of a kind of work on one core: the median of the calls that fit into so many seconds.

    Computing is timed by the thread's own clock, which somebody else's work does not move; waiting for a bucket by the
    wall's.
    """
    clock = time.perf_counter if name in BUCKET else time.thread_time
    with pinned(1):
        call, units = PROBES[name](np.random.default_rng(1), work)
        call()  # the first pays for what is loaded late
        until = time.perf_counter() + seconds
        spent: list[float] = []
        while not spent or time.perf_counter() < until:
            began = clock()
            call()
            spent.append(clock() - began)
    return units / float(np.median(spent))


def resident() -> int:
    """Bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _read(random: np.random.Generator, work: Work) -> tuple[Callable[[], object], float]:
    key = f"calibrate/{os.getpid()}"
    work.write(key, random.bytes(OBJECT))
    return lambda: work.read(key), OBJECT


def _write(random: np.random.Generator, work: Work) -> tuple[Callable[[], object], float]:
    key, data = f"calibrate/{os.getpid()}", random.bytes(OBJECT)
    return lambda: work.write(key, data), OBJECT


def _requests(_: np.random.Generator, work: Work) -> tuple[Callable[[], object], float]:
    key = f"calibrate/{os.getpid()}-small"

    def both() -> None:
        work.write(key, b"{}")
        work.read(key)

    return both, 2


def _rows(random: np.random.Generator, count: int, dim: int) -> Floats:
    rows = random.standard_normal((count, dim), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def _normalise(random: np.random.Generator, _: Work) -> tuple[Callable[[], object], float]:
    raw = _rows(random, 8_192, DIM).astype(np.float16)
    return lambda: normalise(raw, Scale(0, 0), np.empty(raw.shape, np.float16)), raw.size


def _names(random: np.random.Generator, _: Work) -> tuple[Callable[[], object], float]:
    texts = np.array([str(UUID(bytes=random.bytes(16))) for _ in range(10_000)], "S36")

    def decoded() -> None:
        names = from_array(texts)
        bad_ids(names)
        Ids.encode([name for name in names if name is not None])

    return decoded, len(texts)


def _hashed(random: np.random.Generator, _: Work) -> tuple[Callable[[], object], float]:
    ids = Ids.of([str(UUID(bytes=random.bytes(16))) for _ in range(25_000)])
    return lambda: np.sort(keys_of(ids)), len(ids)


def _widened(random: np.random.Generator, _: Work) -> tuple[Callable[[], object], float]:
    rows = _rows(random, 25_000, DIM).astype(np.float16)
    return lambda: rows.astype(np.float32), rows.size


def _product(random: np.random.Generator, _: Work) -> tuple[Callable[[], object], float]:
    rows, vectors = _rows(random, 25_000, DIM), _rows(random, OUT, DIM)
    return lambda: rows @ vectors.T, 2.0 * len(rows) * DIM * OUT


def _nearest(random: np.random.Generator, _: Work) -> tuple[Callable[[], object], float]:
    rows, centroids = _rows(random, 25_000, OUT), _rows(random, CELLS, OUT)
    return lambda: Cpu().nearest(rows, centroids), 2.0 * len(rows) * CELLS * OUT


def _summed(random: np.random.Generator, _: Work) -> tuple[Callable[[], object], float]:
    rows, cells = _rows(random, 16_384, OUT), random.integers(0, CELLS, 16_384)
    return lambda: Cpu().sums(rows, cells, CELLS), rows.size


def _trained(random: np.random.Generator, _: Work) -> tuple[Callable[[], object], float]:
    rows = _rows(random, 4_096, 32)
    return lambda: Cpu().train_codes(rows, 16, 4, seed=1), 4_096.0 * 16 * 32


def _coded(bits: int) -> Probe:
    def probe(random: np.random.Generator, _: Work) -> tuple[Callable[[], object], float]:
        rows, codebook = _rows(random, 8_192, OUT), random.standard_normal((GROUPS, 1 << bits, 2), np.float32)
        return lambda: Cpu().encode(rows, codebook), float(len(rows) << bits) * OUT

    return probe


def _packed(random: np.random.Generator, _: Work) -> tuple[Callable[[], object], float]:
    model = Model(
        _rows(random, OUT, DIM), random.standard_normal((GROUPS, 16, 2), np.float32), _rows(random, CELLS, OUT)
    )
    codes = random.integers(0, 256, (200_000, GROUPS // 2), np.uint8)
    cells = random.integers(0, CELLS, (len(codes), 1)).astype(np.int32)
    return lambda: coded_index(model, cells, codes), codes.size


def _searched(random: np.random.Generator, _: Work) -> tuple[Callable[[], object], float]:
    queries, rows = _rows(random, 2_048, DIM), _rows(random, 12_500, DIM)
    return lambda: Cpu().knn(queries, rows, 11), 2.0 * len(queries) * len(rows) * DIM


def _judged(random: np.random.Generator, _: Work) -> tuple[Callable[[], object], float]:
    from pipeline.quality.truth import merged

    lists = [(random.random((5_000, 11), np.float32), random.integers(0, 1 << 40, (5_000, 11))) for _ in range(2)]
    return lambda: merged(lists[0], lists[1], 11), 5_000.0 * 22


PROBES: dict[str, Probe] = {
    "read": _read, "write": _write, "requests": _requests, "normalise": _normalise, "names": _names, "hashed": _hashed,
    "widened": _widened, "product": _product, "nearest": _nearest, "summed": _summed, "trained": _trained,
    "coded": _coded(4), "coded_wide": _coded(8), "packed": _packed, "searched": _searched, "judged": _judged,
}  # fmt: skip
"""One for each speed of `Rates` but `scanned`, `fixed`, which follow from others; `requests` gives `request_s`."""
