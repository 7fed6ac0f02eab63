"""Has a batch of requests searched, has it answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from matcher.answering import Answerer
from matcher.consumer import Bad
from matcher.dealing import TILE
from matcher.decoding import Job, decoded
from matcher.errors import BadRequest, Expired, MatchError, NoIndex, Stale
from matcher.housekeeping import Housekeeping
from matcher.messages import Request
from matcher.residency import Held, Residency
from matcher.searching import Outcome, Searcher

Group = tuple[Held, list[Request]]

LATE = "its deadline passed before it could be searched: give it more time, or start more matchers"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a request may ask for, by Redis' clock."""

    default_ttl_ms: int
    max_ttl_ms: int
    max_limit: int
    now_ms: Callable[[], float]

    def deadline(self, request: Request) -> float:
        """Milliseconds until when a request may be answered; a life that is no number is the default one."""
        try:
            ttl = request.number(b"ttl_ms", self.default_ttl_ms)
        except BadRequest:  # it is told so when it is decoded
            ttl = self.default_ttl_ms
        return request.added_ms + min(ttl, self.max_ttl_ms)


class Handler:
    """Finds the index of each request, has it searched, has the outcome sent."""

    def __init__(
        self, residency: Residency, searcher: Searcher, answerer: Answerer, housekeeping: Housekeeping, bounds: Bounds
    ) -> None:
        self._residency = residency
        self._searcher = searcher
        self._answerer = answerer
        self._housekeeping = housekeeping
        self._bounds = bounds
        self.read = 0

    async def handle(self, requests: list[Request], bad: list[Bad]) -> None:
        """Answer a batch: small labels together and first, so that none waits for a flooded one."""
        self.read += len(requests)
        for stream in {one[0] for one in bad} | {request.stream for request in requests}:
            self._housekeeping.touched(stream, self._label(stream))
        if bad:
            await self._answerer.bury(bad)
        groups, outcomes = self._sorted(requests)
        small = [group for group in groups if len(group[1]) < TILE]
        if small or outcomes:
            await self._work(small, outcomes)
        for group in sorted((group for group in groups if len(group[1]) >= TILE), key=lambda one: len(one[1])):
            await self._work([group], [])

    def _sorted(self, requests: Iterable[Request]) -> tuple[list[Group], list[Outcome]]:
        """Requests by the index that answers them, and the outcome of those that none answers."""
        outcomes: list[Outcome] = []
        by_index: dict[tuple[str, str | None], list[Request]] = defaultdict(list)
        now = self._bounds.now_ms()
        for request in requests:
            if self._bounds.deadline(request) < now:
                outcomes.append((None, request, Expired(LATE)))
            else:
                by_index[self._addressed(request)].append(request)
        groups = []
        for (label, index_id), group in by_index.items():
            if (held := self._residency.find(label, index_id)) is not None:
                groups.append((held, group))
            else:
                error = self._absent(label, index_id)
                outcomes += [(None, request, error) for request in group]
        return groups, outcomes

    async def _work(self, groups: list[Group], outcomes: list[Outcome]) -> None:
        """One round of searches, one round trip of answers."""
        jobs: list[Job] = []
        with ExitStack() as uses:
            for held, group in groups:
                uses.enter_context(held.used())
                its, refused = decoded(held, group, self._bounds.max_limit)
                jobs += its
                outcomes += [(held, request, error) for request, error in refused]
            if jobs:
                outcomes += await self._searcher.outcomes(jobs)
            await self._answerer.send(outcomes)

    def search_cost_s(self, stream: str) -> float:
        """CPU seconds of one search for the index of a stream; 0 while unknown."""
        label, _, index_id = stream.rpartition(":")
        held = self._residency.current.get(stream) or self._residency.find(label, index_id)
        return held.cost_s if held else 0.0

    def _addressed(self, request: Request) -> tuple[str, str | None]:
        """Label and index id; on the original's stream, whose name is the label, requests name no index."""
        if not request.modern or request.stream in self._residency.current:
            return request.stream, None
        label, _, index_id = request.stream.rpartition(":")
        return label, index_id

    def _label(self, stream: str) -> str:
        """Whose backlog a stream adds to."""
        label = stream.rpartition(":")[0]
        return label if label in self._residency.current and stream not in self._residency.current else stream

    def _absent(self, label: str, index_id: str | None) -> MatchError:
        if index_id is not None and label in self._residency.current:
            return Stale(f"{label}: index {index_id} is no longer served, {self._residency.current[label].index_id} is")
        failure = self._residency.failures.get(label)
        return (
            failure.error if failure is not None else NoIndex(f"nobody serves label {label!r}: publish an index for it")
        )
