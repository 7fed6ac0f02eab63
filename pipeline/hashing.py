"""Eight bytes for each name of a partition, so that names of a whole list are compared in little memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Ids

Keys = NDArray[np.uint64]

ODD, FIRST, SECOND = (np.uint64(one) for one in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def mixed(values: Keys) -> Keys:
    """A permutation of 64-bit numbers under which close ones fall far apart: the finaliser of SplitMix64 (Steele et al., 2014)."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * FIRST
        values = (values ^ (values >> np.uint64(27))) * SECOND
    mixed_: Keys = values ^ (values >> np.uint64(31))
    return mixed_


def keys_of(names: Ids, seed: int = 0) -> Keys:
    """Keys (n,) uint64: equal for equal names, and for others with a chance of 2**-64; of integers never.

    Names of one kind: a UUID does not get the key of its text.
    """
    if names.kind == "str":
        return _of_text(names, seed)
    words = names.keys().view(np.uint64).reshape(len(names), -1)
    return _folded(words, mixed(np.array([seed], np.uint64)))


def _folded(words: Keys, start: Keys) -> Keys:
    """One key for each row of words (n, w)."""
    key = np.broadcast_to(start, len(words))
    for column in words.T:
        with np.errstate(over="ignore"):
            key = mixed(key + ODD ^ column)
    return np.array(key, np.uint64)


def _of_text(names: Ids, seed: int) -> Keys:
    """Names of one length are looked at together, eight letters at a time."""
    starts, letters = names.letters()
    lengths = np.diff(starts)
    found = np.empty(len(names), np.uint64)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        padded = np.zeros((len(rows), -(-length // 8) * 8), np.uint8)
        alike = len(rows) == len(names)  # as names often are: no letter has to be looked for
        padded[:, :length] = (
            letters.reshape(len(rows), length) if alike else letters[starts[rows][:, None] + np.arange(length)]
        )
        found[rows] = _folded(padded.view(np.uint64), mixed(np.array([seed + length * 2], np.uint64)))
    return found
