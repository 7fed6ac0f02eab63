"""Has a batch of requests searched, has it answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from matcher.answering import Answerer
from matcher.consumer import Bad
from matcher.deadlines import LATE, Bounds
from matcher.dealing import TILE
from matcher.decoding import Job, decoded
from matcher.errors import Expired, MatchError, NoIndex, Stale
from matcher.held import Held
from matcher.housekeeping import Housekeeping
from matcher.keys import Feed, shard_of
from matcher.messages import Request
from matcher.residency import Residency
from matcher.searching import Outcome, Searcher

Group = tuple[Held, list[Request]]


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
        self.pass_on: Callable[[Sequence[Request]], None] = lambda requests: None
        """Takes the original's requests for indexes of several shards."""
        self.read = 0

    async def handle(self, requests: list[Request], bad: list[Bad]) -> None:
        """Answer a batch: small labels together and first, so that none waits for a flooded one."""
        self.read += len(requests)
        feeds: dict[tuple[str, str], list[Request]] = defaultdict(list)
        for request in requests:
            feeds[request.stream, request.group].append(request)
        for feed in {one[0] for one in bad} | feeds.keys():
            self._housekeeping.touched(feed[0], _addressed(*feed)[0])
        if bad:
            await self._answerer.bury(bad)
        groups, outcomes = self._sorted(feeds)
        small = [group for group in groups if len(group[1]) < TILE]
        if small or outcomes:
            await self._work(small, outcomes)
        for group in sorted((group for group in groups if len(group[1]) >= TILE), key=lambda one: len(one[1])):
            await self._work([group], [])

    def _sorted(self, feeds: dict[tuple[str, str], list[Request]]) -> tuple[list[Group], list[Outcome]]:
        """Requests by the shard that answers them, and the outcome of those that none answers."""
        outcomes: list[Outcome] = []
        groups: list[Group] = []
        now, deadline = self._bounds.now_ms(), self._bounds.deadline
        for feed, its in feeds.items():
            group = [request for request in its if deadline(request) >= now]
            if len(group) < len(its):
                outcomes += [(None, request, Expired(LATE)) for request in its if deadline(request) < now]
            if shard_of(feed[1]) is not None:
                strange = [request for request in group if not request.modern]
                if strange:  # the original's have no business in the stream of one index
                    group = [request for request in group if request.modern]
                    outcomes += [(None, request, self._absent(feed[0], "")) for request in strange]
            held = self.held(feed)
            if held is not None:
                groups.append((held, group))
            elif shard_of(feed[1]) is None and feed[0] in self._residency.serving:
                self.pass_on(group)
            else:
                error = self._absent(*_addressed(*feed))
                outcomes += [(None, request, error) for request in group]
        return [group for group in groups if group[1]], outcomes

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

    def held(self, feed: tuple[str, str]) -> Held | None:
        """The shard that answers what comes from a feed."""
        shard, (label, index_id) = shard_of(feed[1]), _addressed(*feed)
        return self._residency.whole(label) if shard is None else self._residency.held.get((label, index_id, shard))

    def search_cost_s(self, feed: Feed) -> float:
        """CPU seconds of one search of what comes from a feed; 0 while unknown."""
        held = self.held(feed)
        return held.cost_s if held else 0.0

    def _absent(self, label: str, index_id: str) -> MatchError:
        if index_id and label in self._residency.serving:
            return Stale(f"{label}: index {index_id} is no longer served, {self._residency.serving[label]} is")
        failure = self._residency.failures.get(label)
        return (
            failure.error if failure is not None else NoIndex(f"nobody serves label {label!r}: publish an index for it")
        )


def _addressed(stream: str, group: str) -> tuple[str, str]:
    """Label and index id that a feed is of; the original's stream is named by the label and names no index."""
    if shard_of(group) is None:
        return stream, ""
    label, _, index_id = stream.rpartition(":")
    return label, index_id
