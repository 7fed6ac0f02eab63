"""The client: asks matchers over Redis for the most similar faces."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from types import TracebackType
from typing import Unpack

from numpy.typing import ArrayLike

from configs.errors import ConfigError
from configs.settings import Client
from matcher import keys
from matcher.errors import Busy, TimedOut
from matcher.exchange import Exchange
from matcher.landing import Counts
from matcher.merge import Answer, Sighting, across
from matcher.probe_bytes import pack
from matcher.question import Options, Question
from matcher.routes import Route


class MatchClient:
    """`async with MatchClient(url, settings) as client: await client.match(label, descriptor)`.

    Safe for any number of tasks of one event loop.  A request without an answer is sent again under the same
    rid, so an answer lost with a matcher or a connection costs time, not the answer; a second one is dropped.
    """

    def __init__(self, redis_url: str, settings: Client | None = None) -> None:
        """Raises ConfigError for settings by which requests would go to an index that answers no more."""
        self._url = redis_url
        self._settings = settings or Client()
        if self._settings.refresh_s > keys.REFRESH_S:
            raise ConfigError(
                f"client.refresh_s: expected at most {keys.REFRESH_S:g}, for which matchers answer from an index whose "
                f"label has moved on, got {self._settings.refresh_s:g}: look more often"
            )
        self._plain = Question(timeout_s=self._settings.timeout_ms / 1000)
        self._places = asyncio.Semaphore(self._settings.in_flight)
        self._exchange: Exchange | None = None

    async def __aenter__(self) -> MatchClient:
        """Connect; raises Unreachable."""
        exchange = Exchange(self._url, self._settings.refresh_s, self._settings.in_flight)
        await exchange.session.start()
        self._exchange = exchange
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect; what is under way raises TimedOut."""
        if self._exchange is not None:
            self._exchange.close()
            await self._exchange.session.close()

    @property
    def id(self) -> str:
        """Of this client: rids begin with it, its channel ends with it."""
        return self._open.id

    @property
    def counts(self) -> Counts:
        """What was sent, repeated and dropped so far."""
        return self._open.counts

    @property
    def under_way(self) -> int:
        """Requests sent and not answered yet."""
        return len(self._open.flights.by_rid)

    @property
    def connected(self) -> bool:
        """Whether Redis is there."""
        return self._open.session.line is not None

    def backlog(self, label: str) -> int:
        """Requests of everybody that wait for a label, as matchers last published."""
        route = self._open.routes.use(label)
        return route.backlog if route else 0

    async def index_of(self, label: str) -> str:
        """The index that requests for a label go to, as last seen; empty when nobody serves it."""
        return (self._open.routes.use(label) or await self._first(label, self._plain.timeout_s)).index_id

    async def match(self, label: str, descriptor: ArrayLike | bytes, **options: Unpack[Options]) -> Answer:
        """The faces of a label that are most similar to a descriptor (dim,) of any float type and length.

        Waits for a place among `client.in_flight` requests.  Raises a MatchError: at once NoIndex when nobody
        serves the label, Busy when too much waits for it, BadDescriptor and BadRequest; later TimedOut,
        Expired, or what the matcher answers.
        """
        async with self._places:
            return await (await self.send(label, descriptor, **options))

    async def send(
        self, label: str, descriptor: ArrayLike | bytes, **options: Unpack[Options]
    ) -> asyncio.Future[Answer]:
        """Send a request without waiting for a place or the answer, which the future gets; raises as `match` does."""
        exchange = self._open
        question = self._question(options) if options else self._plain
        route = exchange.routes.use(label) or await self._first(label, question.timeout_s)
        self._check(label, route, question)
        return exchange.ask(label, route, pack(descriptor, route.dim), question)

    def stream(
        self, label: str, descriptors: Iterable[ArrayLike], **options: Unpack[Options]
    ) -> AsyncGenerator[Answer]:
        """Answers in the order of the descriptors, `client.in_flight` of them under way; raises the first error."""
        return self.stream_pairs(((label, descriptor) for descriptor in descriptors), **options)

    async def stream_pairs(
        self, pairs: Iterable[tuple[str, ArrayLike]], **options: Unpack[Options]
    ) -> AsyncGenerator[Answer]:
        """The same for pairs of a label and a descriptor: many labels in one stream."""
        # A bound of its own, not the places of `match`: two streams read in turn would wait for each other's places.
        flying: deque[asyncio.Future[Answer]] = deque()
        try:
            for label, descriptor in pairs:
                if len(flying) >= self._settings.in_flight:
                    yield await flying[0]
                    flying.popleft()
                flying.append(await self.send(label, descriptor, **options))
            while flying:
                yield await flying[0]
                flying.popleft()
        finally:
            for future in flying:
                if not future.cancel() and not future.cancelled():
                    future.exception()  # looked at: asyncio need not report what the first error stands for

    async def match_many(
        self, label: str, descriptors: Iterable[ArrayLike], **options: Unpack[Options]
    ) -> list[Answer]:
        """Answers for the rows of descriptors (n, dim), in order; raises the first error."""
        return [answer async for answer in self.stream(label, descriptors, **options)]

    async def match_labels(
        self, labels: Sequence[str], descriptor: ArrayLike | bytes, **options: Unpack[Options]
    ) -> tuple[Sighting, ...]:
        """One descriptor against several labels (watchlists): the best `limit` of all, each with its label.

        Raises the error of a label that cannot be asked: no one is cleared by a list that did not answer.
        """
        answers = await asyncio.gather(*(self.match(label, descriptor, **options) for label in labels))
        return across(answers, options.get("limit", self._plain.limit))

    @property
    def _open(self) -> Exchange:
        if self._exchange is None:
            raise RuntimeError("use the client in an `async with` block: it is not connected yet")
        return self._exchange

    def _question(self, options: Options) -> Question:
        if "timeout_s" not in options:
            options["timeout_s"] = self._plain.timeout_s
        return Question(**options)

    async def _first(self, label: str, timeout_s: float) -> Route:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._open.routes.of(label)
        except TimeoutError:
            raise TimedOut(f"{label}: Redis did not say who serves it within {timeout_s:g} s; is it running?") from None

    def _check(self, label: str, route: Route, question: Question) -> None:
        route.check(label, question)
        allowed = self._settings.max_backlog
        if route.backlog >= allowed:
            raise Busy(
                f"label {label!r}: {route.backlog} requests are waiting, {allowed} are allowed (client.max_backlog): "
                "try later or start more matchers"
            )
