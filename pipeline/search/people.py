"""Candidate lists of people instead of rows: of each person the best row, as deep as it takes to fill the list."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.search.index import Floats, Numbers

Lists = tuple[Floats, Numbers]
"""Similarities (n, any), best first, with row numbers; -1 for empty places."""

NOBODY = -1
"""Code of an empty place in a list of candidates."""

ROWS_PER_PERSON = 4
"""Rows fetched at first per wanted person, since several of the best may be of one."""

DEEPER = 4
"""How many times deeper is fetched for lists that are not full."""

MOST_ROWS = 16_384
"""Rows fetched of a query at most: beyond, a list stays shorter rather than a matcher busy with one request."""


def best_of_each(lists: Lists, codes: Numbers, k: int) -> Lists:
    """The first k people of candidate lists (p, any), best first: of each person only the best row.

    `codes` (p, any) says whose the rows are; NOBODY marks empty places, which stay empty and come last.
    """
    similarities, numbers = lists
    order = np.argsort(codes, axis=1, kind="stable")  # rows of one person beside each other, the best of them first
    ordered = np.take_along_axis(codes, order, axis=1)
    again = np.zeros(codes.shape, bool)
    np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    gone = again | (codes == NOBODY)
    front = np.argsort(gone, axis=1, kind="stable")[:, :k]
    empty = np.take_along_axis(gone, front, axis=1)
    kept = np.take_along_axis(similarities, front, axis=1), np.take_along_axis(numbers, front, axis=1)
    return np.where(empty, np.float32(-1), kept[0]), np.where(empty, -1, kept[1])


def deepened(
    found: Lists,
    judge: Callable[[Numbers, Lists], Lists],
    search: Callable[[Numbers, int], Lists],
    k: int,
    most: int,
) -> Lists:
    """Lists (n, k) that are full wherever there are k people among the `most` nearest rows, or among those that are found.

    `found` (n, depth) is what a first search brought.  `judge` makes lists (some, k) of what was found for queries given
    by position; `search` finds so many rows for them.  A query is searched again only while its list is not full.
    """
    todo, depth = np.arange(len(found[1])), found[1].shape[1]
    similarities, numbers = judge(todo, found)
    while depth < min(most, MOST_ROWS):
        more = found[1][:, -1] >= 0  # else everything that this search can find is there
        todo = todo[more & ((numbers[todo] >= 0).sum(axis=1) < k)]
        if not len(todo):
            break
        depth = min(DEEPER * depth, most, MOST_ROWS)
        found = search(todo, depth)
        similarities[todo], numbers[todo] = judge(todo, found)
    return similarities, numbers
