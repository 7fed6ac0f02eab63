"""Searches in worker threads, while the event loop goes on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from matcher.decoding import Job
from matcher.errors import MatchError, SearchFailed
from matcher.messages import Floats, Request
from matcher.residency import Held
from matcher.results import Candidates, results
from pipeline.device.threads import set_threads
from pipeline.search.index import Numbers

logger = logging.getLogger(__name__)

TILE = 64
"""Queries of one turn of a thread.  Tiles are dealt to single-threaded searchers, so that no thread waits for another
as it does inside one OpenMP call, and two cores shared with Redis and clients stay busy."""

Outcome = tuple[Held | None, Request, Candidates | MatchError]
"""A request with its candidates, or with the error that it gets."""

Found = tuple[Floats, Numbers] | SearchFailed


class Searcher:
    """A pool of threads that search, one native thread each."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "search", initializer=set_threads, initargs=(1,))
        self.threads = threads
        self.cpu_seconds = 0.0
        self.searched = 0

    async def outcomes(self, jobs: Iterable[Job]) -> list[Outcome]:
        """A result or an error for every request, in any order."""
        hands = _dealt(jobs)
        loop = asyncio.get_running_loop()
        found = await asyncio.gather(*(loop.run_in_executor(self._pool, self._search, hand) for hand in hands))
        done: list[Outcome] = []
        for hand, answers in zip(hands, found, strict=True):
            for job, answer in zip(hand, answers, strict=True):
                self.searched += len(job.requests)
                if isinstance(answer, SearchFailed):
                    done.extend((job.held, request, answer) for request in job.requests)
                else:
                    pairs = zip(job.requests, results(job, *answer), strict=True)
                    done.extend((job.held, request, candidates) for request, candidates in pairs)
        return done

    def _search(self, hand: list[Job]) -> list[Found]:
        """What one thread does in one turn."""
        found: list[Found] = []
        for job in hand:
            began = time.thread_time()
            try:
                found.append(job.held.index.search(job.queries, job.size))
            except Exception as error:
                logger.exception("%s %s: a search failed.", job.held.label, job.held.index_id)
                found.append(SearchFailed(f"{type(error).__name__}: {error}"))
            spent = time.thread_time() - began
            self.cpu_seconds += spent
            job.held.search_took(spent / len(job.requests))
        return found

    def close(self) -> None:
        """Wait for running searches."""
        self._pool.shutdown()


def _dealt(jobs: Iterable[Job]) -> list[list[Job]]:
    """Jobs in hands of about a tile: large ones cut, small ones of many labels together."""
    hands: list[list[Job]] = []
    free = 0
    for job in jobs:
        for tile in job.tiles(TILE):
            if len(tile.requests) > free:
                hands.append([])
                free = TILE
            hands[-1].append(tile)
            free -= len(tile.requests)
    return hands
