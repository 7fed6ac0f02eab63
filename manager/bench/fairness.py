"""Many quiet lists without, then with, one more list that is flooded."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from manager.bench.labels import publish_lists
from manager.demo.commands import command
from manager.demo.steps import Faces, wait_labels
from manager.embedded.processes import Child
from manager.embedded.stack import Stack
from pipeline.artifact import open_store

DIM = 512
QUIET_RATE = 200
"""Requests a second over all quiet lists."""
FLOOD = 4
"""Times what the flooded list was measured to take."""
FLOODED = "flooded"


def quiet_and_flooded(stack: Stack, faces: Faces, lists: int, seconds: float, repeats: int) -> dict[str, Any]:
    """p99 of the quiet lists over so many seconds, alone and beside the flood, in turns; medians."""
    names = [f"list-{number:04d}" for number in range(lists)]
    found = publish_lists(open_store(stack.storage.bucket, stack.storage), [*names, FLOODED], DIM, "generated")
    file = stack.folder / "labels.txt"
    file.write_text("\n".join(names))
    wait_labels(stack, found)
    probes = ("--probes", str(faces.stream))
    capacity = command(stack, "load", "--label", FLOODED, *probes, "--requests", "20000")["probes_per_s"]
    quiet = (
        "--labels-from",
        str(file),
        *probes,
        "--rate",
        str(QUIET_RATE),
        "--requests",
        str(int(QUIET_RATE * seconds)),
    )
    command(stack, "load", *quiet)  # each list has been asked once before it counts
    alone, beside, arrived = [], [], []
    for _ in range(repeats):
        alone.append(command(stack, "load", *quiet))
        with _flood(stack, found[FLOODED], FLOOD * capacity) as sent:
            beside.append(command(stack, "load", *quiet))
        arrived.append(sent[0])
    medians = [statistics.median(one["p99_ms"] for one in some) for some in (alone, beside)]
    return {
        "lists": lists, "capacity_per_s": capacity, "wanted_flood_per_s": FLOOD * capacity,
        "flood_per_s": statistics.median(arrived), "alone_p99_ms": medians[0], "flooded_p99_ms": medians[1],
        "alone_p50_ms": statistics.median(one["p50_ms"] for one in alone),
        "flooded_p50_ms": statistics.median(one["p50_ms"] for one in beside),
        "errors": sum(sum(one["errors"].values()) for one in (*alone, *beside)),
        "ratio": medians[1] / max(medians[0], 5.0),
    }  # fmt: skip


@contextmanager
def _flood(stack: Stack, index_id: str, rate: float) -> Iterator[list[float]]:
    """A flood for the length of the block; afterwards the list holds the requests a second that Redis took."""
    stream = f"{FLOODED}:{index_id}"
    program = Path(__file__).with_name("flood.py")
    child = Child(
        "flood", [sys.executable, str(program), stack.redis_url, stream, FLOODED, str(DIM), str(rate)],
        stack.logs / "flood.log",
    )  # fmt: skip
    sent: list[float] = []
    with redis.Redis.from_url(stack.redis_url) as client:
        before, began = _added(client, stream), client.time()
        child.start()
        try:
            yield sent
            child.check()
            ended = client.time()
            seconds = ended[0] - began[0] + (ended[1] - began[1]) / 1e6
            sent.append((_added(client, stream) - before) / seconds)
        finally:
            child.kill()
        client.xtrim(stream, maxlen=0, approximate=False)


def _added(client: redis.Redis, stream: str) -> int:
    """Entries ever added to a stream."""
    return int(client.xinfo_stream(stream)["entries-added"])
