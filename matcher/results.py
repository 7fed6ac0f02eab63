"""Cuts what a search found to what each request asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from matcher.decoding import Job
from matcher.messages import Floats
from pipeline.search.index import Numbers

Candidates = Sequence[tuple[str | int, float] | tuple[str | int, float, str | int]]
"""Ids with similarities clipped to 0..1, best first; with the person where several shards are merged by person."""


def results(job: Job, similarities: Floats, numbers: Numbers) -> Iterator[Candidates]:
    """The candidates of each request of a job, from what was found: (requests, k) each."""
    index = job.held.index
    counts = [request.limit(numbers.shape[1]) for request in job.requests]
    widest = max(counts)
    clipped = np.clip(similarities[:, :widest], 0.0, 1.0).tolist()
    wanted = np.maximum(numbers[:, :widest], 0).ravel()
    found = (numbers[:, :widest] >= 0).sum(axis=1).tolist()
    names = index.ids.take(wanted)
    people = index.people.take(wanted) if job.grouped and job.held.shards > 1 and index.people is not None else None
    for row, request in enumerate(job.requests):
        start, count = row * widest, min(counts[row], found[row])
        columns = [
            names[start : start + count],
            clipped[row],
            *([] if people is None else [people[start : start + count]]),
        ]
        pairs: Candidates = list(zip(*columns, strict=False))
        if b"threshold" in request.fields:
            least = request.threshold()
            pairs = [pair for pair in pairs if pair[1] >= least]
        yield pairs
