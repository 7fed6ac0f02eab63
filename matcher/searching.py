"""Searches in worker threads, while the event loop goes on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from matcher.dealing import Hand, dealt
from matcher.decoding import Job
from matcher.errors import MatchError, SearchFailed
from matcher.held import Held, Whole
from matcher.messages import Floats, Request
from matcher.people import best_people
from matcher.results import Candidates, results
from pipeline.device.threads import set_threads
from pipeline.search.index import Numbers

logger = logging.getLogger(__name__)

Outcome = tuple[Held | Whole | None, Request, Candidates | MatchError]
"""A request with its candidates, or with the error that it gets."""

Found = tuple[Floats, Numbers] | SearchFailed


class Searcher:
    """Threads that search, one native thread each."""

    def __init__(self, threads: int, saw: Callable[[Job, Numbers], None] = lambda job, numbers: None) -> None:
        """`saw` is told, on the event loop, of each search with the row numbers found."""
        self._pool = ThreadPoolExecutor(threads, "search", initializer=set_threads, initargs=(1,))
        self._saw = saw
        self._busy = 0
        """Threads at work or promised."""
        self.threads = threads
        self.cpu_seconds = 0.0
        self.searched = 0

    async def outcomes(self, jobs: Iterable[Job]) -> list[Outcome]:
        """A result or an error for every request, in any order."""
        hands = dealt(list(jobs), max(1, self.threads - self._busy))
        done: list[Outcome] = []
        for hand, answers in zip(hands, await asyncio.gather(*map(self._begin, hands)), strict=True):
            for job, answer in zip(hand, answers, strict=True):
                self.searched += len(job.requests)
                if isinstance(answer, SearchFailed):
                    done.extend((job.held, request, answer) for request in job.requests)
                else:
                    self._saw(job, answer[1])
                    pairs = zip(job.requests, results(job, *answer), strict=True)
                    done.extend((job.held, request, candidates) for request, candidates in pairs)
        return done

    def _begin(self, hand: Hand) -> asyncio.Future[list[Found]]:
        future = asyncio.get_running_loop().run_in_executor(self._pool, self._search, hand)
        self._busy += 1
        future.add_done_callback(self._over)
        return future

    def _over(self, _: asyncio.Future[list[Found]]) -> None:
        self._busy -= 1

    def _search(self, hand: Hand) -> list[Found]:
        """What one thread does in one turn."""
        found: list[Found] = []
        for job in hand:
            began = time.thread_time()
            try:
                found.append(best_people(job) if job.grouped else job.held.index.search(job.queries, job.size))
            except Exception as error:
                logger.exception("%s: a search failed.", job.held.name)
                found.append(SearchFailed(f"{type(error).__name__}: {error}"))
            spent = time.thread_time() - began
            self.cpu_seconds += spent
            job.held.search_took(spent / len(job.requests))
        return found

    def close(self) -> None:
        """Wait for running searches."""
        self._pool.shutdown()
