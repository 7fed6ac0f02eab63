"""Requests under way: what each still needs, when the next thing is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from matcher.errors import MatchError
from matcher.merge import Answer, Part
from matcher.question import Question

TICK_S = 0.02
"""How finely time-outs are kept: one timer for all requests instead of one for each."""


class Flight:
    """One request under way."""

    __slots__ = (
        "answer", "deadline", "descriptor", "due", "index_id", "label", "parts", "question", "refused", "repeats", "rid", "shards",
    )  # fmt: skip

    def __init__(
        self, rid: str, label: str, descriptor: bytes, question: Question, answer: asyncio.Future[Answer]
    ) -> None:
        self.rid, self.label, self.descriptor, self.question, self.answer = rid, label, descriptor, question, answer
        self.index_id = ""
        """The index it was last sent to."""
        self.deadline = self.due = 0.0
        """When it is of no use any more; when to look at it next.  Seconds of the event loop."""
        self.repeats = 0
        self.shards = 1
        """Shards of that index, as far as is known."""
        self.parts: dict[str, dict[int, Part]] = {}
        """Answers of shards by index id, while others are missing."""
        self.refused: dict[str, dict[int, MatchError]] = {}
        """Errors of shards by index id, where the request takes what the others answer."""


class Flights:
    """All requests under way by rid.  A wheel of slots of `TICK_S` says which are due."""

    def __init__(self, on_due: Callable[[Flight, float], None]) -> None:
        self.by_rid: dict[str, Flight] = {}
        self._on_due = on_due
        self._loop = asyncio.get_running_loop()
        # Slots hold rids, not flights: what was answered long before its deadline must not stay in memory until then.
        self._slots: dict[int, list[str]] = {}
        self._swept = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, flight: Flight) -> None:
        """A new request, or one whose `due` has moved."""
        self.by_rid[flight.rid] = flight
        slot = int(flight.due / TICK_S) + 1
        if slot in self._slots:
            self._slots[slot].append(flight.rid)
        else:
            self._slots[slot] = [flight.rid]
        if self._timer is None:
            self._swept = int(self._loop.time() / TICK_S)
            self._timer = self._loop.call_later(TICK_S, self._sweep)

    def close(self) -> None:
        """Look at nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self) -> None:
        now = self._loop.time()
        last = int(now / TICK_S)
        for slot in range(self._swept, last + 1):
            for rid in self._slots.pop(slot, ()):
                flight = self.by_rid.get(rid)
                if flight is not None:
                    self._on_due(flight, now)
        self._swept = last + 1
        # While something is due later the wheel turns; `add` starts it again otherwise.
        self._timer = self._loop.call_later(TICK_S, self._sweep) if self._slots else None
