"""Draws a few of the requests that were searched, for the comparison with exact search."""

from __future__ import annotations

import math
import random
import time

from matcher.decoding import Job
from matcher.held import Held, Place
from matcher.recall import Drawn, depth_of
from pipeline.search.index import Numbers

IN_ALL = 1_024
"""Drawn requests that wait, over all indexes: two megabytes."""


NEVER = 1 << 62
"""Requests until the next one when none is drawn."""


class Drawer:
    """Counts requests down to the next one drawn: what is not drawn costs a subtraction per search."""

    def __init__(self, share: float, per_minute: int) -> None:
        """Draw each request with the probability `share`, at most so many a minute of each index."""
        self.share = share
        self._per_minute = per_minute
        self._random = random.Random()  # noqa: S311 - nobody gains by guessing it
        self._next = self._gap()
        self.pending: dict[Place, Held] = {}
        """Shards with requests that wait, the longest waiting first."""

    def saw(self, job: Job, numbers: Numbers) -> None:
        """A job was searched: `numbers` (requests, k) were found.  Lists of people are not compared with lists of rows."""
        if job.grouped:
            return
        self._next -= len(job.requests)
        while self._next < 0:
            self._take(job, numbers, len(job.requests) + self._next)
            self._next += 1 + self._gap()

    def _gap(self) -> int:
        """Requests passed over before the next one drawn, distributed geometrically."""
        if self.share >= 1:
            return 0
        return int(self._random.expovariate(-math.log1p(-self.share))) if self.share else NEVER

    def _take(self, job: Job, numbers: Numbers, row: int) -> None:
        held = job.held
        live, minute = held.live, int(time.monotonic() / 60)
        if not held.comparable:
            return
        if live.minute != minute:
            live.minute, live.drawn = minute, 0
        if live.drawn >= self._per_minute or sum(len(one.live.waiting) for one in self.pending.values()) >= IN_ALL:
            return
        live.drawn += 1
        live.waiting.append(Drawn(job.queries[row].copy(), numbers[row, : depth_of(held.shards)].copy()))
        self.pending.setdefault(held.place, held)

    def longest_waiting(self) -> tuple[Held, list[Drawn]] | None:
        """The next index to compare with its requests, which wait no more; None when there is none."""
        if not self.pending:
            return None
        held = self.pending.pop(next(iter(self.pending)))
        drawn = list(held.live.waiting)
        held.live.waiting.clear()
        return held, drawn


def unwatched(held: Held, share: float) -> str:
    """Why live answers of an index are not compared; empty when they are."""
    if not held.comparable:
        return "the recipe is exact search itself"
    return "" if share else "matcher.live_share is 0"
