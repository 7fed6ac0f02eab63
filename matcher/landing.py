"""Finds the request of each answer: duplicates, refusals, shards."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgpack

from matcher.errors import BY_CODE, Expired, MatchError, NotLoaded, NotReadable, SearchFailed, Stale
from matcher.flight import Flight, Flights
from matcher.merge import Answer, Candidate, Face, Part, merge_parts
from matcher.messages import unpacked

logger = logging.getLogger(__name__)

new_candidate = Candidate._make

OF_A_SHARD = (Expired, NotLoaded, NotReadable, SearchFailed)
"""Refusals that are a shard's trouble, not the request's."""


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
                    self._refused(flight, body)
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
        return _merged(flight, flight.index_id, flight.shards) if parts else None

    def _landed(self, flight: Flight, body: dict[str, Any]) -> None:
        index_id, shards = body["index_id"], body["shards"]
        if shards == 1:
            candidates = tuple(map(new_candidate, body["result"]))
            self.done(flight, Answer(flight.label, index_id, body["watermark"], False, candidates))
            return
        if index_id == flight.index_id:
            flight.shards = shards
        parts = flight.parts.setdefault(index_id, {})  # an answer is never mixed from two indexes
        parts[body["shard"]] = Part(body["watermark"], [_found(one) for one in body["result"]])
        self._joined(flight, index_id, shards)

    def _joined(self, flight: Flight, index_id: str, shards: int) -> None:
        """One more shard has answered or refused: with the last the answer is there."""
        parts, refused = flight.parts.get(index_id, {}), flight.refused.get(index_id, {})
        if len(parts.keys() | refused.keys()) < shards:
            return
        if parts:
            self.done(flight, _merged(flight, index_id, shards))
        else:
            self.fail(flight, next(iter(refused.values())))

    def _refused(self, flight: Flight, body: dict[str, Any]) -> None:
        error = error_of(flight.label, body["error"])
        index_id, shard = body.get("index_id", flight.index_id), body.get("shard")
        if isinstance(error, Stale):
            if index_id == flight.index_id:  # else it was sent on already, when another shard said so
                self._stale(flight)
        elif (
            flight.question.allow_partial and flight.shards > 1 and isinstance(error, OF_A_SHARD) and shard is not None
        ):
            flight.refused.setdefault(index_id, {})[shard] = error
            self._joined(flight, index_id, flight.shards)
        else:
            self.fail(flight, error)


def _found(one: list[Any]) -> Any:
    return Candidate(*one) if len(one) == 2 else Face(*one)


def _merged(flight: Flight, index_id: str, shards: int) -> Answer:
    return merge_parts(flight.label, index_id, flight.parts[index_id], shards, flight.question.limit)


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
