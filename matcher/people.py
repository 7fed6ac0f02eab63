"""Finds the best people of a job whose requests say group_by=person."""

from __future__ import annotations

import numpy as np

from matcher.decoding import Job
from matcher.messages import Floats
from pipeline.artifact import Ids
from pipeline.search.index import Numbers
from pipeline.search.people import NOBODY, ROWS_PER_PERSON, Lists, best_of_each, deepened


def best_people(job: Job) -> tuple[Floats, Numbers]:
    """Similarities (requests, size) with row numbers, of each person the best row, -1 for empty places.

    The index knows people: a request that asks for them of another one was refused.
    """
    index, people = job.held.index, job.held.index.people

    def search(todo: Numbers, depth: int) -> Lists:
        return index.search(np.ascontiguousarray(job.queries[todo]), depth)

    def judge(_: Numbers, found: Lists) -> Lists:
        if people is None:
            raise ValueError("people: expected an index that knows them")
        return best_of_each(found, codes(people, found[1]), job.size)

    first = index.search(job.queries, min(ROWS_PER_PERSON * job.size, max(index.rows, 1)))
    similarities, numbers = deepened(first, judge, search, job.size, index.rows)
    return similarities, numbers


def codes(people: Ids, numbers: Numbers) -> Numbers:
    """A number for each person, the same wherever one occurs in `numbers` (n, depth); rows of unknown person differ."""
    known: dict[str | int, int] = {}
    names = people.take(np.maximum(numbers, 0).ravel())
    found = [
        -2 - row if name == "" else known.setdefault(name, len(known))
        for row, name in zip(numbers.ravel(), names, strict=True)
    ]
    return np.where(numbers < 0, NOBODY, np.array(found, np.int64).reshape(numbers.shape))
