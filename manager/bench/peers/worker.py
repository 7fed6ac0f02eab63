"""The program in an engine's process: does what it is told over a socket, a line of JSON each way."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from manager.bench.peers.engine import BATCH, Engine, Floats, Knobs, Site, Unavailable
from manager.bench.peers.engines import engine_class
from manager.bench.peers.memory import Memory, usage

WARM = 2
"""Batches before a clock starts."""


class Worker:
    """An engine with the probes."""

    def __init__(self, engine: Engine, queries: Floats) -> None:
        self.engine = engine
        self.queries = queries
        self._before = Memory(0, 0)
        self._warm: Knobs | None = None

    def recipe(self) -> dict[str, Any]:
        """What would be built."""
        engine = self.engine
        return {"recipe": engine.recipe, "kept": engine.kept, "chooses": engine.chooses}

    def build(self) -> dict[str, Any]:
        """Build; `build_s` is what counts."""
        began = time.monotonic()
        figures = self.engine.build()
        return {"build_s": time.monotonic() - began, **figures}

    def open(self) -> dict[str, Any]:
        """Open what was built."""
        self._before, began = usage(os.getpid()), time.monotonic()
        self.engine.open()
        engine = self.engine
        return {
            "open_s": time.monotonic() - began, "recipe": engine.recipe, "exact": engine.exact, "points": engine.points(),
        }  # fmt: skip

    def memory(self) -> dict[str, Any]:
        """Bytes over those before it was opened."""
        now = usage(os.getpid())
        return {
            name: max(0, after - before)
            for name, before, after in zip(now._fields, self._before, now, strict=True)
        }  # fmt: skip

    def answer(self, point: Knobs, part: list[int], depth: int, out: str) -> dict[str, Any]:
        """Answer the probes `part` = [start, stop) into a `.npz`; `seconds` are those of the searches."""
        how, batch = _split(point)
        if point != self._warm:  # what a point touches first is not what it costs
            self.engine.search(self.queries[:batch], depth, how)
            self._warm = point
        found = [(np.empty((0, depth), np.float32), np.empty((0, depth), np.int64))]
        seconds = 0.0
        first, stop = part
        for start in range(first, stop, batch):
            queries = self.queries[start : min(start + batch, stop)]
            began = time.perf_counter()
            found.append(self.engine.search(queries, depth, how))
            seconds += time.perf_counter() - began
        similarities, numbers = (np.concatenate([one[column] for one in found]) for column in (0, 1))
        np.savez(out, similarities=similarities, numbers=numbers)
        return {"seconds": seconds}

    def pace(self, point: Knobs, depth: int, seconds: float) -> dict[str, Any]:
        """Queries a second over so many seconds, one batch at least."""
        how, batch = _split(point)
        batches = self._batches(batch)
        for _ in range(WARM):
            self.engine.search(next(batches), depth, how)
        began, done = time.perf_counter(), 0
        while done == 0 or time.perf_counter() - began < seconds:
            self.engine.search(next(batches), depth, how)
            done += batch
        return {"qps": done / (time.perf_counter() - began)}

    def _batches(self, batch: int) -> Iterator[Floats]:
        """Batches of this size for ever, from all probes."""
        repeated = np.resize(self.queries, (max(len(self.queries), 4 * batch), self.queries.shape[1]))
        while True:
            yield from (repeated[at : at + batch] for at in range(0, len(repeated) - batch + 1, batch))

    def close(self) -> dict[str, Any]:
        """The last thing it is told."""
        self.engine.close()
        return {}


def _split(point: Knobs) -> tuple[Knobs, int]:
    """What the engine is told, and how many queries it gets at a time."""
    return {name: value for name, value in point.items() if name != "batch"}, point.get("batch", BATCH)


def main(number: int, name: str, site: Site) -> None:
    """Serve until told to close, or until whoever asks has gone."""
    with socket.socket(fileno=number) as line, line.makefile("r") as lines:
        worker: Worker | None = None
        for said in lines:
            asked = json.loads(said)
            try:
                if worker is None:
                    queries = np.load(Path(site.data, "queries.npy"))
                    worker = Worker(engine_class(name)(site), queries)
                answer = getattr(worker, asked.pop("do"))(**asked)
            except Unavailable as error:
                answer = {"unavailable": str(error)}
            except Exception as error:  # the top of the loop: whoever asked reports it
                traceback.print_exc()
                answer = {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
            line.sendall(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Site(**json.loads(sys.argv[3])))
