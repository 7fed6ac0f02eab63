"""Deals what is to be searched to the threads that are idle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from matcher.decoding import Job

TILE = 64
"""Queries of one turn of a thread.  Tiles are dealt to single-threaded searchers, so that no thread waits for another
as it does inside one OpenMP call, and two cores shared with Redis and clients stay busy."""

WORTH_S = 0.0005
"""A thread is only called for as much work: waking it and gathering what it found takes about a tenth of that."""


@dataclass(slots=True)
class Hand:
    """What one thread does in one turn, on so many native threads."""

    jobs: list[Job] = field(default_factory=list)
    threads: int = 1


def dealt(jobs: Sequence[Job], idle: int) -> list[Hand]:
    """Jobs in hands of a tile at most: large ones cut, small ones of many labels together.

    With less than a tile for each of the `idle` threads the tiles are smaller, down to what is worth a thread, so
    that a small load is searched by all of them.  A job that cannot be cut with profit gets them as native threads.
    """
    count = sum(len(job.requests) for job in jobs)
    ways = min(idle, max(1, int(sum(job.held.cost_s * len(job.requests) for job in jobs) / WORTH_S)))
    most = min(TILE, -(-count // ways))
    hands = [Hand(part) for part in _parts(jobs, most)]
    if len(hands) == 1 and len(hands[0].jobs) == 1 and wide(hands[0].jobs[0]):
        hands[0].threads = ways
    return hands


def wide(job: Job) -> bool:
    """Whether one search call of this job gains by native threads what cutting it cannot.

    Exact search reads all rows once for all its queries, so cutting them would read the rows once more.
    """
    return job.held.index.manifest.recipe == "exact" and len(job.requests) > 1


def _parts(jobs: Sequence[Job], most: int) -> Iterator[list[Job]]:
    """Jobs in lists of at most `most` requests, but for those that are not cut below a tile."""
    part: list[Job] = []
    free = 0
    for job in jobs:
        for tile in job.tiles(TILE if wide(job) else most):
            if len(tile.requests) > free and part:
                yield part
                part, free = [], most
            elif not part:
                free = most
            part.append(tile)
            free -= len(tile.requests)
    if part:
        yield part
