"""Answers a batch: addressed, checked against its deadline, grouped, searched, sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from matcher.answering import Answerer
from matcher.consumer import Bad
from matcher.errors import BadRequest, Expired, MatchError, NoIndex, Stale
from matcher.housekeeping import Housekeeping
from matcher.messages import Request
from matcher.residency import Residency
from matcher.searching import Searcher


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Until when a request may be answered, by Redis' clock."""

    default_ttl_ms: int
    max_ttl_ms: int
    now_ms: Callable[[], float]

    def of(self, request: Request) -> float:
        """Milliseconds; a life that is no number is the default one."""
        try:
            ttl = request.number(b"ttl_ms", self.default_ttl_ms)
        except BadRequest:
            ttl = self.default_ttl_ms
        return request.added_ms + min(ttl, self.max_ttl_ms)


class Handler:
    """What happens between reading and acknowledging."""

    def __init__(
        self,
        residency: Residency,
        searcher: Searcher,
        answerer: Answerer,
        housekeeping: Housekeeping,
        deadlines: Deadlines,
    ) -> None:
        self._residency = residency
        self._searcher = searcher
        self._answerer = answerer
        self._housekeeping = housekeeping
        self._deadlines = deadlines
        self.read = 0

    async def handle(self, requests: list[Request], bad: list[Bad]) -> None:
        """Answer a batch, the smallest groups first, so that a small label does not wait for a flooded one."""
        self.read += len(requests)
        for stream in {one[0] for one in bad} | {request.stream for request in requests}:
            self._housekeeping.touched(stream, self._label(stream))
        if bad:
            await self._answerer.bury(bad)
        groups: dict[tuple[str, str | None], list[Request]] = defaultdict(list)
        expired: list[Request] = []
        now = self._deadlines.now_ms()
        for request in requests:
            if self._deadlines.of(request) < now:
                expired.append(request)
            else:
                groups[self._addressed(request)].append(request)
        if expired:
            error = Expired(
                "its deadline passed before it could be searched: give it more time, or start more matchers"
            )
            await self._answerer.send(None, [(request, error) for request in expired])
        for (label, index_id), group in sorted(groups.items(), key=lambda one: len(one[1])):
            held = self._residency.find(label, index_id)
            if held is None:
                await self._answerer.send(None, [(request, self._absent(label, index_id)) for request in group])
                continue
            held.in_work += 1
            try:
                await self._answerer.send(held, await self._searcher.outcomes(held, group))
            finally:
                held.in_work -= 1

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
