"""Compares streamed answers with exact search over the source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manager.demo.steps import LIMIT
from pipeline.device.cpu import Cpu

TIE = 1e-5
"""Rows whose similarities differ by less are equally good answers: sums of floats in another order differ as much."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the comparison found."""

    probes: int
    recall_at_10: float
    """Share of the ten nearest rows of exact search that were answered, an equally near row counting as one."""
    same_first: float
    """Share of probes whose first answer is as near as the nearest row."""
    largest_error: float
    """Largest difference of an answered similarity from that of the same row in exact search, over the rows in both."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """The source's rows: what exact search is made of, without any file of the index."""

    rows: NDArray[np.float16]
    """(n, dim), unit norm."""
    names: list[str]


def compare(answers: Path, probes: NDArray[np.float32], gallery: Gallery, count: int, *, own: bool) -> Checked:
    """The first `count` streamed answers beside exact search.

    `probes` (p, dim) were streamed in turn.  With `own` they are the gallery's first rows, and a row is
    no answer to itself.
    """
    with np.load(answers) as arrays:
        asked, found, similarities = (arrays[name][:count] for name in ("probe", "ids", "similarities"))
    asked = asked % len(probes)
    queries = probes[asked] / np.linalg.norm(probes[asked], axis=1, keepdims=True)
    names = np.array(gallery.names, dtype=str)
    depth = min(LIMIT + own, len(names))
    exact, numbers = Cpu().knn(np.ascontiguousarray(queries, np.float32), gallery.rows.astype(np.float32), depth)
    nearest = names[numbers]
    exact = np.clip(exact, 0.0, 1.0)  # as similarities are answered
    if own:
        nearest, exact = _without(nearest, exact, names[asked])
        found, similarities = _without(found, similarities, names[asked])
    return _compared(nearest, exact, found, similarities)


def _without(
    names: NDArray[np.str_], similarities: NDArray[np.float32], own: NDArray[np.str_]
) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
    """Each row's candidates without its own name, or without the last where that is not among them."""
    order = np.argsort(names == own[:, None], axis=1, kind="stable")[:, :-1]
    return np.take_along_axis(names, order, axis=1), np.take_along_axis(similarities, order, axis=1)


def _compared(
    nearest: NDArray[np.str_], exact: NDArray[np.float32], found: NDArray[np.str_], similarities: NDArray[np.float32]
) -> Checked:
    depth = exact.shape[1]
    if not depth:
        return Checked(len(exact), 1.0, 1.0, 0.0)
    both = nearest[:, :, None] == found[:, None, :]
    tied = exact <= similarities[:, depth - 1 : depth] + TIE
    errors = np.abs(exact[:, :, None] - similarities[:, None, :])[both]
    return Checked(
        len(exact),
        float((both.any(axis=2) | tied).mean()),
        float((similarities[:, 0] >= exact[:, 0] - TIE).mean()),
        float(errors.max(initial=0.0)),
    )
