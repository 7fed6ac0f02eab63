"""The sample's leading components, group by group: what cells, codes learn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.clustering.sampled import Group, groups, parts_of, sample_size
from pipeline.transform import Spectrum
from pipeline.workspace import Work

Floats = NDArray[np.float32]

FEW = 65_536
"""Rows, evenly spread over the sample, that are kept apart for models which need no more, so that none reads it all."""


@dataclass(frozen=True, slots=True)
class Projected:
    """The step that projects a group of the sample, and finds the range of its rows."""

    group: int
    out: int
    """Leading components that any model of the build needs."""

    def run(self, work: Work) -> int:
        """Write the components of all rows, those of few where the sample is larger, and the range (2, d)."""
        group, vectors, at = groups(work)[self.group], Spectrum.load(work).vectors[: self.out], 0
        leading = np.empty((group.rows, self.out), np.float32)
        ends = np.stack([np.full(work.spec.dim, np.inf, np.float32), np.full(work.spec.dim, -np.inf, np.float32)])
        for part in parts_of(work, group):
            rows = part.astype(np.float32)
            leading[at : at + len(rows)] = rows @ vectors.T
            np.minimum(ends[0], rows.min(axis=0, initial=np.inf), out=ends[0])
            np.maximum(ends[1], rows.max(axis=0, initial=-np.inf), out=ends[1])
            at += len(rows)
        work.save(_key("all", self.group), leading)
        if sample_size(work) > FEW:
            work.save(_key("few", self.group), leading[group.spread(sample_size(work), FEW)])
        work.save(_key("range", self.group), ends)
        return group.rows


@dataclass(frozen=True, slots=True)
class Learned:
    """The rows that a model learns from: so many, evenly spread over the sample, and their leading components."""

    rows: int
    out: int

    def of(self, work: Work, group: Group) -> Floats:
        """Those (n, out) of a group, C-contiguous."""
        total = sample_size(work)
        if self.rows > FEW or total <= FEW:
            found, its = work.load(_key("all", group.number)), group
        else:
            found, its, total = work.load(_key("few", group.number)), _few(group, total), FEW
        return np.ascontiguousarray(found[its.spread(total, self.rows), : self.out])

    def parts(self, work: Work) -> Iterator[Floats]:
        """Those of every group, one after the other."""
        for group in groups(work):
            yield self.of(work, group)

    def count(self, work: Work) -> int:
        """How many there are: fewer than wanted where the sample is smaller."""
        return min(self.rows, sample_size(work))


def extremes(work: Work) -> Floats:
    """The least and the largest of each component of the sample's rows, (2, d)."""
    ends = np.stack([work.load(_key("range", group.number)) for group in groups(work)])
    return np.stack([ends[:, 0].min(axis=0), ends[:, 1].max(axis=0)])


def _few(group: Group, total: int) -> Group:
    """The group as one of the few rows."""
    first, end = (-(-position * FEW // total) for position in (group.first, group.first + group.rows))
    return Group(group.number, group.parts, first, end - first)


def _key(what: str, number: int) -> str:
    return f"training/{what}/{number:05d}.npy"
