"""Cuts what a search found to what each request asked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from matcher.decoding import Job
from matcher.messages import Floats
from pipeline.search.index import Numbers

Candidates = list[tuple[str | int, float]]
"""Ids with similarities clipped to 0..1, best first."""


def results(job: Job, similarities: Floats, numbers: Numbers) -> Iterator[Candidates]:
    """The candidates of each request of a job, from what was found: (requests, k) each."""
    index = job.held.index
    counts = [request.limit(numbers.shape[1]) for request in job.requests]
    widest = max(counts)
    clipped = np.clip(similarities[:, :widest], 0.0, 1.0).tolist()
    wanted = np.maximum(numbers[:, :widest], 0).ravel()
    found = (numbers[:, :widest] >= 0).sum(axis=1).tolist()
    names = index.ids.take(wanted)
    for row, request in enumerate(job.requests):
        start, count = row * widest, min(counts[row], found[row])
        pairs = list(zip(names[start : start + count], clipped[row], strict=False))
        if b"threshold" in request.fields:
            least = request.threshold()
            pairs = [pair for pair in pairs if pair[1] >= least]
        yield pairs
