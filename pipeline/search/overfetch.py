"""Search among live rows where the search itself cannot leave removed ones out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.search.index import Floats, Numbers
from pipeline.search.removed import Removed

Fetch = Callable[[Floats, int], tuple[Floats, Numbers]]
"""(queries (n, d), depth) to similarities (n, depth), descending, with row numbers, -1 where there are no more."""

SPARE = 16
"""Rows fetched beyond the expected number of removed ones."""


def live(
    queries: Floats, wanted: int, removed: Removed | None, fetch: Fetch, *, most: int
) -> tuple[Floats, Numbers, NDArray[np.bool_]]:
    """The `wanted` most similar live rows of each of n queries.

    Fetches as many more as are expected to be removed, drops those, and fetches twice as deep for the queries
    that have too few left, down to `most`.  Returns similarities (n, wanted), numbers (n, wanted) with -1 for
    none, and which queries (n,) were cut off at `most`: these have further live rows that were not seen.
    """
    count = len(queries)
    similarities, numbers = np.full((count, wanted), -1, np.float32), np.full((count, wanted), -1, np.int64)
    todo, depth = np.arange(count), min(first_depth(wanted, removed), most)
    while len(todo):
        found, rows = fetch(queries[todo], depth)
        kept = rows >= 0 if removed is None else removed.alive(rows)
        _take(similarities, numbers, todo, found, np.where(kept, rows, -1))
        short = (kept.sum(axis=1) < wanted) & (rows[:, -1] >= 0)
        todo = todo[short]
        if depth == most:
            break
        depth = min(2 * depth, most)
    cut = np.zeros(count, bool)
    cut[todo] = True
    return similarities, numbers, cut


def first_depth(wanted: int, removed: Removed | None) -> int:
    """How many rows to fetch so that `wanted` are expected to be live."""
    if removed is None or not removed.count:
        return wanted
    left = removed.rows - removed.count
    return removed.rows if not left else -(-wanted * removed.rows // left) + SPARE


def _take(similarities: Floats, numbers: Numbers, todo: Numbers, found: Floats, rows: Numbers) -> None:
    """Move the found rows, without the gaps that removed ones left, to the queries that they belong to."""
    order = np.argsort(rows < 0, axis=1, kind="stable")[:, : numbers.shape[1]]
    kept = np.take_along_axis(rows, order, axis=1)
    similarities[todo, : kept.shape[1]] = np.where(kept >= 0, np.take_along_axis(found, order, axis=1), -1)
    numbers[todo, : kept.shape[1]] = kept
