"""Finds the request of each answer: duplicates, refusals, shards."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgpack

from matcher.errors import BY_CODE, MatchError, SearchFailed, Stale
from matcher.flight import Flight, Flights
from matcher.merge import Answer, Candidate, merge_answers
from matcher.messages import unpacked

logger = logging.getLogger(__name__)

new_candidate = Candidate._make


@dataclass(slots=True)
class Counts:
    """What happened, since the start."""

    sent: int = 0
    """Requests, without repeats."""
    repeated: int = 0
    """Sent again: no answer for long, stale, or Redis was away."""
    duplicates: int = 0
    """Answers to what was answered already, or given up."""
    foreign: int = 0
    """Messages on our channel that are not of the protocol."""


class Landing:
    """Takes messages, ends flights."""

    def __init__(self, flights: Flights, counts: Counts, stale: Callable[[Flight], None]) -> None:
        self._flights, self._counts, self._stale = flights, counts, stale

    def message(self, data: bytes) -> None:
        """One or more answers, one after the other."""
        try:
            for body in unpacked(data):
                flight = self._flights.by_rid.get(body["rid"])
                if flight is None:
                    self._counts.duplicates += 1
                elif "error" in body:
                    self._refused(flight, body["error"])
                else:
                    self._landed(flight, body)
        except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
            self._counts.foreign += 1
            logger.warning("A message on our channel is not an answer (%r): %r.", error, data[:80])

    def done(self, flight: Flight, answer: Answer) -> None:
        """The request has its answer."""
        self._flights.by_rid.pop(flight.rid, None)
        if not flight.answer.done():
            flight.answer.set_result(answer)

    def fail(self, flight: Flight, error: MatchError) -> None:
        """The request has an error."""
        self._flights.by_rid.pop(flight.rid, None)
        if not flight.answer.done():
            flight.answer.set_exception(error)

    def part_of(self, flight: Flight) -> Answer | None:
        """An answer of the shards that have answered; None when none has."""
        parts = flight.parts.get(flight.index_id)
        return _merged(flight, parts, partial=True) if parts else None

    def _landed(self, flight: Flight, body: dict[str, Any]) -> None:
        index_id, shards = body["index_id"], body["shards"]
        candidates = tuple(map(new_candidate, body["result"]))
        answer = Answer(flight.label, index_id, body["watermark"], False, candidates)
        if shards == 1:
            self.done(flight, answer)
            return
        parts = flight.parts.setdefault(index_id, {})  # an answer is never mixed from two indexes
        parts[body["shard"]] = answer
        if len(parts) == shards:
            self.done(flight, _merged(flight, parts, partial=False))

    def _refused(self, flight: Flight, body: Any) -> None:
        error = error_of(flight.label, body)
        if isinstance(error, Stale):
            self._stale(flight)
        else:
            self.fail(flight, error)


def _merged(flight: Flight, parts: dict[int, Answer], *, partial: bool) -> Answer:
    return merge_answers([parts[shard] for shard in sorted(parts)], flight.question.limit, partial=partial)


def error_of(label: str, error: Any) -> MatchError:
    """The exception that an error of the wire means."""
    if not isinstance(error, dict):
        return SearchFailed(f"{label}: the matcher refused without a reason: {error!r}")
    code, detail = error.get("error_code"), error.get("detail") or error.get("desc") or "no detail"
    kind = BY_CODE.get(code) if isinstance(code, int) else None
    if kind is None:
        return SearchFailed(f"{label}: the matcher refused with the unknown code {code}: {detail}")
    text = str(detail)
    return kind(text if label in text else f"{label}: {text}")
