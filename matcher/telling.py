"""What a matcher tells of itself beside what it holds: for pages, never for clients."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgpack

if TYPE_CHECKING:
    from matcher.parts import Parts

OVER_S = 10.0
"""Time over which rates are means."""

TOLD = 10
"""Failures that are told in full."""

DETAIL = 300
"""Letters of each."""

Counts = tuple[float, int, int, int]
"""Monotonic time with what had been read, answered, and answered with an error by then."""


class Telling:
    """Packs figures at each announcement, from counters that are there anyway: nothing is done per request."""

    def __init__(self, parts: Parts, clock: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._clock = clock
        self._past: deque[Counts] = deque([self._counts()])

    def packed(self) -> bytes:
        """The figures of this moment; called at each announcement."""
        return bytes(msgpack.packb(self.figures(), unicode_errors="replace"))

    def figures(self) -> dict[str, Any]:
        """Rates are per second, over the last ten seconds; times are seconds since 1970 by Redis' clock."""
        parts = self._parts
        residency, watch = parts.residency, parts.watch
        failures = list(residency.failures.items())
        polled = 0.0
        if watch.polled_at is not None:
            polled = parts.announcer.now_ms() / 1000 - (time.monotonic() - watch.polled_at)
        return {
            **self.rates(), "polled": polled, "poll_s": parts.settings.matcher.poll_s, "unreachable": watch.unreachable[:DETAIL],
            "memory": residency.used(), "memory_limit": residency.limit,
            "loading": [list(place) for place in residency.loading], "failures": len(failures),
            "failed": [[label, one.index_id, one.error.error_code, str(one.error)[:DETAIL]] for label, one in failures[:TOLD]],
            "drifting": sorted({held.label for held in residency.current() if held.live.alarm}),
        }  # fmt: skip

    def _counts(self) -> Counts:
        answerer = self._parts.answerer
        return self._clock(), self._parts.handler.read, answerer.answered, sum(answerer.errors.values())

    def rates(self) -> dict[str, float]:
        """Per second, since the youngest of the counts before that is so old; at the start since the start."""
        now = self._counts()
        self._past.append(now)
        while len(self._past) > 1 and now[0] - self._past[1][0] >= OVER_S:
            self._past.popleft()
        first = self._past[0]
        span = max(now[0] - first[0], 1e-3)
        names = ("requests_per_s", "answered_per_s", "errors_per_s")
        return {name: round((now[at] - first[at]) / span, 3) for at, name in enumerate(names, 1)}
