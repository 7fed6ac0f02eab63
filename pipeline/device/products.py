"""The largest inner products of queries with many rows, by matrix products of blocks.

faiss compares as well as BLAS does, but then offers every similarity to a heap, one by one; here a block's are compared
with the worst one kept so far at once, and only those that are better are looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

AT_ONCE = 1 << 20
"""Similarities of a block: 4 MB, which stay in a core's cache between the product and the comparison."""

LEAST_ROWS = 512
"""Rows of a block at least: below, the product itself is slow."""


def largest(
    queries: Floats, rows: Floats, k: int, hide: Callable[[Floats, int], None] | None = None
) -> tuple[Floats, Ids]:
    """The k largest inner products (n, k) of (n, d) queries with (m, d) rows, descending, with row numbers; k <= m.

    Equal ones come in order of row numbers, but which of those that equal the last one are kept is not said.  `hide` may
    overwrite a block's similarities (n, b), whose first row has the given number: with -inf what must not be found.
    Where fewer than k are left, the number is -1.
    """
    count = len(queries)
    best = np.full((count, k), -np.inf, np.float32)
    numbers = np.full((count, k), -1, np.int64)
    for start, block in _blocks(rows, max(LEAST_ROWS, k, AT_ONCE // max(count, 1))):
        found = queries @ block.T
        if hide is not None:
            hide(found, start)
        _keep(best, numbers, found, start)
    return best, numbers


def _blocks(rows: Floats, size: int) -> Iterator[tuple[int, Floats]]:
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]


def _keep(best: Floats, numbers: Ids, found: Floats, start: int) -> None:
    """Replace what a block betters, in place."""
    better = found > best[:, -1:]
    which = np.flatnonzero(better.any(axis=1))
    if not len(which):
        return
    hits = better[which].sum(axis=1)
    k, most = best.shape[1], min(int(hits.max()), found.shape[1])
    if most > 4 * k:  # the first blocks: the better part of everything
        part = np.argpartition(-found[which], k - 1, axis=1)[:, :k] if found.shape[1] > k else _all(found, which)
        values = np.take_along_axis(found[which], part, axis=1)
    else:
        query, column = np.nonzero(better[which])
        place = np.arange(len(query)) - np.repeat(np.cumsum(hits) - hits, hits)
        part = np.zeros((len(which), most), np.int64)
        values = np.full((len(which), most), -np.inf, np.float32)
        part[query, place] = column
        values[query, place] = found[which[query], column]
    new = np.where(np.isneginf(values), -1, part + start)
    both = np.concatenate([best[which], values], axis=1), np.concatenate([numbers[which], new], axis=1)
    order = np.lexsort((both[1], -both[0]), axis=1)[:, :k]
    best[which] = np.take_along_axis(both[0], order, axis=1)
    numbers[which] = np.take_along_axis(both[1], order, axis=1)


def _all(found: Floats, which: Ids) -> Ids:
    return np.broadcast_to(np.arange(found.shape[1]), (len(which), found.shape[1]))


def nearest(rows: Floats, centroids: Floats) -> tuple[Ids, Floats]:
    """The number of the centroid (c, d) of the largest inner product for each of (n, d) rows, with that product.

    Ties go to the lower number.
    """
    numbers, products = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
    size = max(LEAST_ROWS, AT_ONCE // len(centroids))
    for start, block in _blocks(rows, size):
        found = block @ centroids.T
        part = slice(start, start + len(block))
        numbers[part] = found.argmax(axis=1)
        products[part] = np.take_along_axis(found, numbers[part, None], axis=1)[:, 0]
    return numbers, products
