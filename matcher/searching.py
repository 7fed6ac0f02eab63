"""Searches a group of requests for one index: decode, search in worker threads, cut to what each asked for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from matcher.errors import BadDescriptor, BadRequest, MatchError, SearchFailed, TooOld, VersionDiffers
from matcher.messages import Floats, Request, vector
from matcher.residency import Held
from pipeline.device.threads import set_threads
from pipeline.search.index import Index, Numbers

logger = logging.getLogger(__name__)

TILE = 64
"""Queries of one search call.  Tiles are dealt to single-threaded searchers, so that no thread waits for another
as it does inside one OpenMP call, and two cores shared with Redis and clients stay busy."""

GROUPED = 4
"""Candidates fetched per wanted person when the best per person is asked for."""

Outcome = tuple[Request, list[tuple[str | int, float]] | MatchError]


class Searcher:
    """A pool of threads that search, one native thread each."""

    def __init__(self, threads: int, max_limit: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "search", initializer=set_threads, initargs=(1,))
        self._max_limit = max_limit
        self.cpu_seconds = 0.0
        self.searched = 0

    async def outcomes(self, held: Held, requests: list[Request]) -> list[Outcome]:
        """A result or an error for every request, in any order."""
        done: list[Outcome] = []
        for size, group in self._grouped(held, requests, done):
            queries, good = _decoded(held, group, done)
            if good:
                done.extend(await self._searched(held, good, queries, size))
        return done

    def _grouped(self, held: Held, requests: list[Request], done: list[Outcome]) -> Iterator[tuple[int, list[Request]]]:
        """Requests by how many candidates to fetch, so that one that wants 1,000 does not cost all others as many."""
        groups: dict[int, list[Request]] = {}
        for request in requests:
            try:
                size = request.limit(self._max_limit)
                request.threshold()
                _check(held, request)
            except MatchError as error:
                done.append((request, error))
                continue
            if b"group_by" in request.fields:
                size *= GROUPED
            groups.setdefault(1 << (size - 1).bit_length(), []).append(request)
        yield from groups.items()

    async def _searched(self, held: Held, requests: list[Request], queries: Floats, size: int) -> list[Outcome]:
        loop = asyncio.get_running_loop()
        tiles = [
            loop.run_in_executor(self._pool, self._search, held.index, queries[start : start + TILE], size)
            for start in range(0, len(requests), TILE)
        ]
        try:
            found = await asyncio.gather(*tiles)
        except Exception as error:
            logger.exception("%s %s: a search failed.", held.label, held.index_id)
            failed = SearchFailed(f"{type(error).__name__}: {error}")
            return [(request, failed) for request in requests]
        similarities = np.concatenate([one[0] for one in found])
        numbers = np.concatenate([one[1] for one in found])
        self.searched += len(requests)
        return list(zip(requests, _results(held.index, requests, similarities, numbers), strict=True))

    def _search(self, index: Index, queries: Floats, size: int) -> tuple[Floats, Numbers]:
        began = time.thread_time()
        try:
            return index.search(queries, size)
        finally:
            self.cpu_seconds += time.thread_time() - began

    def close(self) -> None:
        """Wait for running searches."""
        self._pool.shutdown()


def _check(held: Held, request: Request) -> None:
    fields = request.fields
    if fields.get(b"group_by", b"person") != b"person":
        raise BadRequest(f"group_by: expected person, got {fields[b'group_by'][:40]!r}")
    if b"group_by" in fields and held.index.people is None:
        raise BadRequest("group_by: the index does not know people; build it from a source with a person column")
    wanted = request.number(b"min_watermark", 0)
    if wanted > held.index.manifest.delta_seq:
        raise TooOld(f"min_watermark: expected at least {wanted}, the index reflects {held.index.manifest.delta_seq}")
    version = fields.get(b"descriptor_version", b"").decode(errors="replace")
    ours = held.index.manifest.descriptor.version
    if version and ours and version != ours:
        raise VersionDiffers(f"expected descriptors of version {ours!r}, got {version!r}")


def _decoded(held: Held, requests: list[Request], done: list[Outcome]) -> tuple[Floats, list[Request]]:
    """Unit-norm queries (n, dim) float32 of the requests that can be read."""
    dim, version = held.index.dim, held.index.manifest.descriptor.version
    blobs = [request.fields.get(b"descriptor", b"") for request in requests]
    if all(len(blob) == 4 * dim for blob in blobs):  # the usual case: one copy from the socket's buffer to the matrix
        queries = np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), dim)
    else:
        vectors, readable = [], []
        for request, blob in zip(requests, blobs, strict=True):
            try:
                vectors.append(vector(blob, dim, version))
                readable.append(request)
            except MatchError as error:
                done.append((request, error))
        requests, queries = readable, np.stack(vectors) if vectors else np.empty((0, dim), np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", queries, queries))
    good = np.isfinite(norms) & (norms > 0)
    if not good.all():
        for number in np.flatnonzero(~good):
            what = "only zeros" if norms[number] == 0 else "NaN or infinity"
            done.append((requests[number], BadDescriptor(f"expected a finite vector that is not zero, got {what}")))
        requests = [request for request, fine in zip(requests, good, strict=True) if fine]
        queries, norms = queries[good], norms[good]
    return np.ascontiguousarray(queries / norms[:, None], np.float32), requests


def _results(
    index: Index, requests: list[Request], similarities: Floats, numbers: Numbers
) -> Iterable[list[tuple[str | int, float]]]:
    """Per request its candidates as (id, similarity), similarities clipped to 0..1."""
    counts = [
        request.limit(numbers.shape[1]) if b"group_by" not in request.fields else numbers.shape[1]
        for request in requests
    ]
    widest = max(counts)
    clipped = np.clip(similarities[:, :widest], 0.0, 1.0).tolist()
    wanted = np.maximum(numbers[:, :widest], 0)
    found = (numbers[:, :widest] >= 0).sum(axis=1).tolist()
    names = index.ids.take(wanted.ravel())
    people = index.people.take(wanted.ravel()) if index.people is not None and _grouping(requests) else None
    for row, request in enumerate(requests):
        start, count = row * widest, min(counts[row], found[row])
        pairs = list(zip(names[start : start + count], clipped[row], strict=False))
        if people is not None and b"group_by" in request.fields:
            pairs = _best_per_person(pairs, people[start : start + count])[: request.number(b"limit", 10)]
        if b"threshold" in request.fields:
            least = request.threshold()
            pairs = [pair for pair in pairs if pair[1] >= least]
        yield pairs


def _grouping(requests: list[Request]) -> bool:
    return any(b"group_by" in request.fields for request in requests)


def _best_per_person(pairs: list[tuple[str | int, float]], people: list[str | int]) -> list[tuple[str | int, float]]:
    """The first of each person; rows of unknown person stand for themselves."""
    seen: set[str | int] = set()
    kept = []
    for pair, person in zip(pairs, people, strict=True):
        if person == "" or person not in seen:
            seen.add(person)
            kept.append(pair)
    return kept
