"""Sends requests until they are answered: repeats, time-outs, moved indexes."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from redis.exceptions import ResponseError

from matcher.errors import MatchError, NoIndex, TimedOut, Unreachable
from matcher.flight import Flight, Flights
from matcher.keys import answer_channel
from matcher.landing import Counts, Landing
from matcher.line import Line
from matcher.merge import Answer
from matcher.question import Question, command, head
from matcher.routes import Route, Routes
from matcher.session import Events, Session

REPEAT_AFTER = 0.5
"""Part of the time-out after which a request without an answer is sent once more."""


class Exchange:
    """Everything under way of one client."""

    def __init__(self, url: str, refresh_s: float, quiet: int) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.channel = answer_channel(self.id)
        self.counts = Counts()
        self.flights = Flights(self._due)
        self.landing = Landing(self.flights, self.counts, self._stale)
        self.routes = Routes(refresh_s, self._rerouted)
        self.session = Session(url, self.channel, Events(self.landing.message, self._resumed, self._work))
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
        self._send(flight, route, question.timeout_s)
        return flight.answer

    def close(self) -> None:
        """Give up what is under way."""
        self.flights.close()
        for flight in list(self.flights.by_rid.values()):
            self.landing.fail(flight, TimedOut(f"{flight.label}: the client was closed before the answer came"))

    async def _work(self, line: Line) -> None:
        await self.routes.run(line)

    def _send(self, flight: Flight, route: Route, left_s: float) -> None:
        flight.index_id = index_id = route.index_id
        flight.shards = route.shards
        if self.session.line is not None:  # while Redis is away it waits, and is sent when it is back
            start = head(flight.question, flight.label, index_id, self.channel)
            ttl_ms = max(1, int(left_s * 1000))
            self.session.line.post(command(start, flight.rid, ttl_ms, flight.descriptor), self._added, flight)

    def _again(self, flight: Flight) -> None:
        if flight.answer.done():  # cancelled: nobody wants it any more
            self.flights.by_rid.pop(flight.rid, None)
            return
        route = self.routes.use(flight.label)
        self.counts.repeated += 1
        flight.repeats += 1
        if route is None or not route.index_id:
            route = Route(flight.index_id, shards=flight.shards)
        self._send(flight, route, flight.deadline - self._loop.time())

    def _added(self, flight: Flight, reply: Any) -> None:
        if reply is None:
            self._stale(flight)
        elif isinstance(reply, ResponseError):
            self.landing.fail(flight, Unreachable(f"{flight.label}: Redis refused the request: {reply}"))
        # Anything else is the entry's id, or a lost connection, after which everything is sent again.

    def _resumed(self) -> None:
        self.routes.resumed()
        for flight in list(self.flights.by_rid.values()):
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
        if flight.answer.done():
            del self.flights.by_rid[flight.rid]
            return
        route = self.routes.use(flight.label)
        waiting = route.backlog if route is not None else 0
        if waiting <= self._quiet and flight.rid not in self._astray and self.session.line is not None:
            self._again(flight)
        flight.due = flight.deadline
        self.flights.add(flight)

    def _give_up(self, flight: Flight) -> None:
        self._astray.pop(flight.rid, None)
        part = self.landing.part_of(flight)
        if part is not None and flight.question.allow_partial:
            self.landing.done(flight, part)
        else:
            self.landing.fail(flight, self._reason(flight, part is not None))

    def _reason(self, flight: Flight, some: bool) -> MatchError:
        after = f"no answer for label {flight.label!r} in time, {flight.question.timeout_s:g} s"
        route = self.routes.use(flight.label) or Route()
        if self.session.line is None:
            return TimedOut(f"{after}: Redis is away; is it running?")
        if not route.index_id:
            return NoIndex(f"{after}: nobody serves it any more; start a matcher")
        if some:
            answered = sorted(flight.parts[flight.index_id])
            return TimedOut(
                f"{after}: only shards {answered} answered, of {flight.shards} of index {flight.index_id}; "
                f"{_nobody(route)}allow_partial takes what there is"
            )
        asked = f"asked {1 + flight.repeats} times, {route.backlog} requests are waiting"
        return TimedOut(f"{after}, {asked}; {_nobody(route)}give it a longer timeout_s, or add matchers")


def _nobody(route: Route) -> str:
    return f"nobody holds shards {list(route.missing)}: start more matchers, or " if route.missing else ""
