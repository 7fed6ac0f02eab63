"""Deals what is to be searched to the threads that are idle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matcher.decoding import Job

TILE = 64
"""Queries of one turn of a thread.  Tiles are dealt to single-threaded searchers, so that no thread waits for another
as it does inside one OpenMP call, and two cores shared with Redis and clients stay busy."""

EXACT_TILE = 256
"""The same for exact search, which reads all rows once a turn: matrix products are the faster the more share a reading."""

WORTH_S = 0.0005
"""A thread is only called for as much work: waking it and gathering what it found takes about a tenth of that."""

Hand = list[Job]
"""What one thread does in one turn."""


def dealt(jobs: Sequence[Job], idle: int) -> list[Hand]:
    """Jobs in hands of a tile at most: large ones cut, small ones of many labels together.

    With less than a tile for each of the `idle` threads the tiles are smaller, down to what is worth a thread, so
    that a small load is searched by all of them.
    """
    count = sum(len(job.requests) for job in jobs)
    ways = min(idle, max(1, int(sum(job.held.cost_s * len(job.requests) for job in jobs) / WORTH_S)))
    return list(_hands(jobs, -(-count // ways)))


def tile_of(job: Job) -> int:
    """Queries of the job that one turn takes at most."""
    return EXACT_TILE if job.held.index.manifest.recipe == "exact" else TILE


def _hands(jobs: Sequence[Job], share: int) -> Iterator[Hand]:
    """Jobs in lists of at most `share` requests, or of a tile where that is less."""
    hand: Hand = []
    free = 0
    for job in jobs:
        most = min(tile_of(job), share)
        for tile in job.tiles(most):
            if len(tile.requests) > free and hand:
                yield hand
                hand = []
            free = (free if hand else most) - len(tile.requests)
            hand.append(tile)
    if hand:
        yield hand
