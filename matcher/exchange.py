"""Sends requests and finds each answer's request: repeats, time-outs, duplicates, shards."""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass
from typing import Any

import msgpack
from redis.exceptions import ResponseError

from matcher.answers import Answer, Candidate, error_of
from matcher.client_errors import NoRedis
from matcher.errors import MatchError, NoIndex, Stale, TimedOut
from matcher.flight import Flight, Flights
from matcher.keys import answer_channel
from matcher.line import Line
from matcher.merge import merge_answers
from matcher.messages import unpacked
from matcher.question import Question, command, head
from matcher.routes import Route, Routes
from matcher.session import Events, Session

logger = logging.getLogger(__name__)

REPEAT_AFTER = 0.5
"""Part of the time-out after which a request without an answer is sent once more."""

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


class Exchange:
    """Everything under way of one client."""

    def __init__(self, url: str, refresh_s: float, quiet: int) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.channel = answer_channel(self.id)
        self.counts = Counts()
        self.routes = Routes(refresh_s, self._rerouted)
        self.session = Session(url, self.channel, Events(self._message, self._resumed, self._work))
        self.flights = Flights(self._due)
        # A longer queue than this explains why there is no answer yet, and repeats would only lengthen it.
        self._quiet = quiet
        self._astray: dict[str, Flight] = {}
        self._loop = asyncio.get_running_loop()

    def ask(self, label: str, route: Route, descriptor: bytes, question: Question) -> asyncio.Future[Answer]:
        """Send a request; the answer, or a MatchError, comes within `question.timeout_s`."""
        self.counts.sent = number = self.counts.sent + 1
        flight = Flight(f"{self.id}-{number:x}", label, descriptor, question, self._loop.create_future())
        now = self._loop.time()
        flight.due = now + question.timeout_s * REPEAT_AFTER
        flight.deadline = now + question.timeout_s
        self.flights.add(flight)
        self._send(flight, route.index_id, question.timeout_s)
        return flight.answer

    def close(self) -> None:
        """Give up what is under way."""
        self.flights.close()
        for flight in list(self.flights.by_rid.values()):
            self._fail(flight, TimedOut(f"{flight.label}: the client was closed before the answer came"))

    async def _work(self, line: Line) -> None:
        await self.routes.run(line)

    def _send(self, flight: Flight, index_id: str, left_s: float) -> None:
        flight.index_id = index_id
        if self.session.line is not None:  # while Redis is away it waits, and is sent when it is back
            start = head(flight.question, flight.label, index_id, self.channel)
            ttl_ms = max(1, int(left_s * 1000))
            self.session.line.post(command(start, flight.rid, ttl_ms, flight.descriptor), self._added, flight)

    def _again(self, flight: Flight) -> None:
        route = self.routes.use(flight.label)
        self.counts.repeated += 1
        flight.repeats += 1
        self._send(flight, (route and route.index_id) or flight.index_id, flight.deadline - self._loop.time())

    def _added(self, flight: Flight, reply: Any) -> None:
        if reply is None:
            self._stale(flight)
        elif isinstance(reply, ResponseError):
            self._fail(flight, NoRedis(f"{flight.label}: Redis refused the request: {reply}"))
        # Anything else is the entry's id, or a lost connection, after which everything is sent again.

    def _resumed(self) -> None:
        self.routes.resumed()
        for flight in self.flights.by_rid.values():
            self._again(flight)

    def _stale(self, flight: Flight) -> None:
        """The stream has no reader any more: go where requests go now, or wait until that is known."""
        route = self.routes.use(flight.label)
        if route is not None and route.index_id not in ("", flight.index_id):
            self._again(flight)
        else:
            self._astray[flight.rid] = flight
            self.routes.hurry()

    def _rerouted(self) -> None:
        astray, self._astray = self._astray, {}
        for rid, flight in astray.items():
            route = self.routes.use(flight.label)
            if rid not in self.flights.by_rid:
                continue
            if route is not None and route.index_id:
                self._again(flight)
            else:
                self._astray[rid] = flight

    def _due(self, flight: Flight, now: float) -> None:
        if now >= flight.deadline:
            self._give_up(flight)
            return
        route = self.routes.use(flight.label)
        waiting = route.backlog if route is not None else 0
        if waiting <= self._quiet and flight.rid not in self._astray and self.session.line is not None:
            self._again(flight)
        flight.due = flight.deadline
        self.flights.add(flight)

    def _give_up(self, flight: Flight) -> None:
        label, parts = flight.label, flight.parts.get(flight.index_id, {})
        if parts and flight.question.allow_partial:
            self._done(flight, merge_answers([parts[shard] for shard in sorted(parts)], flight.question.limit, True))
            return
        after = f"{label}: no answer within {flight.question.timeout_s:g} s"
        if self.session.lost_at is not None:
            self._fail(flight, TimedOut(f"{after}: Redis is away; is it running?"))
        elif flight.rid in self._astray:
            self._fail(flight, NoIndex(f"{after}: no matcher serves index {flight.index_id} any more, nor another one"))
        elif parts:
            self._fail(flight, TimedOut(f"{after}: only shards {sorted(parts)} answered; allow_partial takes what there is"))
        else:
            waiting = route.backlog if (route := self.routes.use(label)) else 0
            self._fail(flight, TimedOut(f"{after}, asked {1 + flight.repeats} times, {waiting} requests waiting; ask with a longer timeout_s, or add matchers"))

    def _message(self, data: bytes) -> None:
        try:
            for body in unpacked(data):
                flight = self.flights.by_rid.get(body["rid"])
                if flight is None:
                    self.counts.duplicates += 1
                elif "error" in body:
                    self._refused(flight, body["error"])
                else:
                    self._landed(flight, body)
        except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
            self.counts.foreign += 1
            logger.warning("A message on %s is not an answer (%r): %r.", self.channel, error, data[:80])

    def _landed(self, flight: Flight, body: dict[str, Any]) -> None:
        index_id, shards = body["index_id"], body["shards"]
        candidates = tuple(map(new_candidate, body["result"]))
        answer = Answer(flight.label, index_id, body["watermark"], False, candidates)
        if shards == 1:
            self._done(flight, answer)
            return
        parts = flight.parts.setdefault(index_id, {})  # an answer is never mixed from two indexes
        parts[body["shard"]] = answer
        if len(parts) == shards:
            ordered = [parts[shard] for shard in sorted(parts)]
            self._done(flight, merge_answers(ordered, flight.question.limit, False))

    def _refused(self, flight: Flight, body: Any) -> None:
        error = error_of(flight.label, body)
        if isinstance(error, Stale):
            self._stale(flight)
        else:
            self._fail(flight, error)

    def _done(self, flight: Flight, answer: Answer) -> None:
        del self.flights.by_rid[flight.rid]
        if not flight.answer.done():
            flight.answer.set_result(answer)

    def _fail(self, flight: Flight, error: MatchError) -> None:
        self.flights.by_rid.pop(flight.rid, None)
        self._astray.pop(flight.rid, None)
        if not flight.answer.done():
            flight.answer.set_exception(error)
