"""Answers the original's requests for indexes of several shards, by asking all shards through our own client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from redis.exceptions import ResponseError

from matcher.answering import Answerer, Lapsed
from matcher.consumer import Bad, Consumer
from matcher.deadlines import LATE, Bounds
from matcher.doubt import Doubt
from matcher.errors import BadRequest, Expired, MatchError, SearchFailed, Stale, TimedOut, Unreachable
from matcher.exchange import Exchange
from matcher.held import Whole
from matcher.housekeeping import Housekeeping
from matcher.keys import Feed
from matcher.merge import Answer
from matcher.messages import Request
from matcher.question import Question
from matcher.reader import LOST, Entries
from matcher.searching import Outcome

logger = logging.getLogger(__name__)

PLACES = 512
"""Requests under way at once; while all are taken nothing is read, so that more wait in their stream."""

GRAIN_S = 0.05
"""Time-outs are rounded down to multiples of it, so that requests share what the client packs once."""

IDLE_S = 0.2
"""Seconds between looks at whether there is a stream to read."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a matcher reads and answers with."""

    consumer: Consumer
    """Of the streams whose requests are passed on; others have one of their own, which is never held up by this."""
    answerer: Answerer
    housekeeping: Housekeeping
    doubt: Doubt
    bounds: Bounds


class Relay:
    """Requests under way to all shards; each is answered, then acknowledged, as those that are searched here."""

    def __init__(self, means: Means, connect: Callable[[], Exchange]) -> None:
        """`connect` makes the client's part, which is connected when it is needed first."""
        self._means = means
        self._connect = connect
        self._exchange: Exchange | None = None
        self._opening = asyncio.Lock()
        self._under_way: dict[tuple[Feed, bytes], asyncio.Task[None]] = {}
        self._outcomes: list[Outcome] = []
        self._sending: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._over = asyncio.Event()
        self.passed_on = 0

    async def serve(self) -> None:
        """Read and pass on until `drain`."""
        consumer = self._means.consumer
        hot = lambda: consumer.read(max(1, PLACES - len(self._under_way)))  # noqa: E731
        await asyncio.gather(self._read(hot), self._read(consumer.quiet))

    async def _read(self, read: Callable[[], Awaitable[tuple[list[Request], list[Bad]]]]) -> None:
        means = self._means
        while not self._over.is_set():
            await self._room.wait()
            try:
                if means.consumer.feeds:
                    requests, bad = await read()
                    self.take(requests)
                    if bad:
                        await means.answerer.bury(bad)
                else:
                    await self._rest(IDLE_S)
            except (*LOST, ResponseError) as error:
                means.doubt.arise()
                logger.warning("The original's streams cannot be read (%s); again in 0.5 s.", error)
                await self._rest(0.5)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    def take(self, requests: Iterable[Request]) -> None:
        """Pass requests on; returns at once.  One that is under way already is left alone."""
        for request in requests:
            key = (Feed(request.stream, request.group), request.entry)
            if key in self._under_way:
                continue
            self.passed_on += 1
            self._means.housekeeping.touched(request.stream, request.stream)
            self._under_way[key] = asyncio.create_task(self._answer(request))
        if len(self._under_way) >= PLACES and not self._over.is_set():
            self._room.clear()

    def in_hand(self) -> set[tuple[Feed, bytes]]:
        """Feed and entry of what was read and not answered yet."""
        return set(self._under_way) | self._means.consumer.in_inbox()

    async def _answer(self, request: Request) -> None:
        """Ask all shards; what went wrong with Redis stays pending and in doubt, so that it is found again."""
        try:
            outcome = await self._asked(request)  # not within append(), whose list may be another one by then
            self._outcomes.append(outcome)
        except (Unreachable, *LOST) as error:
            self._means.doubt.arise()
            self._forget([request])
            logger.warning("A request of %s is not passed on yet (%s); it is looked for again.", request.stream, error)
        except MatchError as error:
            self._outcomes.append((None, request, error))
        except Exception as error:  # a mistake of ours is an answer as well, or the request would stay in hand for ever
            logger.exception("A request of %s could not be passed on.", request.stream)
            self._outcomes.append((None, request, SearchFailed(f"it was not passed on: {type(error).__name__}")))
        if self._outcomes and self._sending is None:
            self._sending = asyncio.create_task(self._send())

    async def _asked(self, request: Request) -> Outcome:
        bounds = self._means.bounds
        left_s = (bounds.deadline(request) - bounds.now_ms()) / 1000
        if left_s <= 0:
            return None, request, Expired(LATE)
        question = self._question(request, left_s // GRAIN_S * GRAIN_S or left_s)
        exchange = await self._open()
        label = request.stream
        try:
            async with asyncio.timeout(question.timeout_s):
                route = await exchange.routes.of(label)
        except TimeoutError:
            raise TimedOut(f"{label}: Redis did not say who serves it within {question.timeout_s:g} s") from None
        route.check(label, question)
        if (named := request.text(b"index_id")) not in ("", route.index_id):
            raise Stale(f"index_id: {named[:80]!r} is asked for, {route.index_id} answers here")
        descriptor = request.fields.get(b"descriptor", b"")
        return _outcome(request, await exchange.ask(label, route, descriptor, question))

    def _question(self, request: Request, timeout_s: float) -> Question:
        """What it asks, checked as a request that is searched here; raises BadRequest."""
        request.number(b"ttl_ms", 0)
        least = request.threshold() if request.fields.get(b"threshold") else None
        if least is not None and not -2 <= least <= 2:
            raise BadRequest(f"threshold: expected a cosine, -1 to 1, got {least:g}")
        return Question(
            limit=request.limit(self._means.bounds.max_limit), threshold=least, timeout_s=timeout_s,
            group_by=request.text(b"group_by"), descriptor_version=request.text(b"descriptor_version"),
            luna_request_id=request.text(b"luna_request_id"),
            min_watermark=request.number(b"min_watermark", 0) if b"min_watermark" in request.fields else None,
        )  # fmt: skip

    async def _open(self) -> Exchange:
        async with self._opening:
            if self._exchange is None:
                exchange = self._connect()
                await exchange.session.start()
                self._exchange = exchange
            return self._exchange

    async def _send(self) -> None:
        """Answer together what was answered meanwhile."""
        means = self._means
        while self._outcomes:
            outcomes, self._outcomes = self._outcomes, []
            try:
                await means.answerer.send(outcomes)
            except (*LOST, Lapsed, ResponseError) as error:
                means.doubt.arise()
                logger.warning("%d answers are not sent yet (%s); they are made again.", len(outcomes), error)
            self._forget([request for _, request, _ in outcomes])
        self._sending = None

    def _forget(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._under_way.pop((Feed(request.stream, request.group), request.entry), None)
        if len(self._under_way) < PLACES:
            self._room.set()

    async def drain(self, most_s: float) -> None:
        """Read no more; wait until all is answered, at most so long: what is not, another matcher takes over."""
        self._over.set()
        self._room.set()
        left: Entries = await self._means.consumer.close()
        requests, bad = self._means.consumer.parsed(left)
        self.take(requests)
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                if bad:
                    await self._means.answerer.bury(bad)
                while self._under_way or self._sending:
                    await asyncio.wait([*self._under_way.values(), *filter(None, [self._sending])])

    async def close(self) -> None:
        """Give up what is left, disconnect."""
        tasks = [*self._under_way.values(), *filter(None, [self._sending])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._exchange is not None:
            self._exchange.close()
            await self._exchange.session.close()


def _outcome(request: Request, answer: Answer) -> Outcome:
    served = {
        "label": answer.label, "index_id": answer.index_id, "watermark": answer.watermark, "shard": 0, "shards": 1,
    }  # fmt: skip
    return Whole(served), request, list(answer.candidates)
