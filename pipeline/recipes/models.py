"""What is trained on the sample: each model also says what a partition is turned into by it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.clustering.codebooks import Quantiser, codebook_items
from pipeline.clustering.projected import Learned, extremes
from pipeline.clustering.rounds import Lloyd
from pipeline.clustering.sampled import sample_size
from pipeline.clustering.sizes import PER_CELL
from pipeline.clustering.two_level import TwoLevel
from pipeline.device.choose import device
from pipeline.recipes.spill import second
from pipeline.search.assembly import RowCoder
from pipeline.stage import Item
from pipeline.transform import Spectrum, Transform
from pipeline.workspace import Work

Floats = NDArray[np.float32]

MOST_FLAT = 4_096
"""Cells above which k-means has two levels: its time grows with their square otherwise."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A partition's rows as they are, (n, d) float32, with their leading components, (n, out) in order of energy."""

    plain: Floats
    leading: Floats


class Model(Protocol):
    """Something trained once per build; models that are equal are shared by the candidates that need them."""

    @property
    def name(self) -> str:
        """For task keys and for the work folder."""
        ...

    def items(self, work: Work, wave: int) -> Iterable[Item]:
        """Items of stage train, in waves from `wave` on, that learn from the projected sample and save."""
        ...

    def encode(self, work: Work, rows: Rows) -> NDArray[Any] | None:
        """What a partition becomes, (n, …) in order of its rows; None when that is its rows as they are."""
        ...


@dataclass(frozen=True, slots=True)
class Codes:
    """A product quantiser over `out` leading components, in balanced groups."""

    out: int
    groups: int
    bits: int

    @property
    def name(self) -> str:
        """Bits, components, groups."""
        return f"codes-{self.bits}bit-{self.out}x{self.groups}"

    def transform(self, work: Work) -> Transform:
        """The projection that puts components of equal busyness into each group."""
        return Spectrum.load(work).balanced(self.out, self.groups)

    def items(self, work: Work, wave: int) -> Iterable[Item]:
        """faiss' own training, seeded; the codebook is (groups, 2**bits, out / groups) float32."""
        return codebook_items(Quantiser(self.name, self.out, self.groups, self.bits), work, wave)

    def encode(self, work: Work, rows: Rows) -> NDArray[np.uint8]:
        """(n, groups * bits / 8) bytes."""
        return device(work.spec.device).encode(self._ordered(work, rows), self.codebook(work))

    def codebook(self, work: Work) -> Floats:
        """What was trained."""
        return np.ascontiguousarray(work.load(key(self)))

    def _ordered(self, work: Work, rows: Rows) -> Floats:
        return np.ascontiguousarray(rows.leading[:, self.transform(work).order])


@dataclass(frozen=True, slots=True)
class Cells:
    """Coarse centroids over `out` leading components, in order of energy."""

    out: int
    count: int
    assignments: int = 1

    @property
    def name(self) -> str:
        """Their number; with two assignments that as well."""
        return f"cells-{self.count}" + (f"x{self.assignments}" if self.assignments > 1 else "")

    def items(self, work: Work, wave: int) -> Iterable[Item]:
        """Spherical k-means with exact sums; (count, out) float32."""
        return self._clustering().items(work, wave)

    def encode(self, work: Work, rows: Rows) -> NDArray[np.int32]:
        """The cells of each row, (n, assignments)."""
        leading = np.ascontiguousarray(rows.leading[:, : self.out])
        worker, clustering = device(work.spec.device), self._clustering()
        if self.assignments == 2:
            return second(leading, self.centroids(work), worker)
        if isinstance(clustering, TwoLevel):
            return clustering.trained(work).nearest(leading, worker)[0].astype(np.int32)[:, None]
        return worker.nearest(leading, self.centroids(work))[0].astype(np.int32)[:, None]

    def centroids(self, work: Work) -> Floats:
        """What was trained."""
        return np.ascontiguousarray(work.load(key(self)))

    def _clustering(self) -> Lloyd | TwoLevel:
        learned = Learned(self.count * PER_CELL, self.out)
        return (Lloyd if self.count <= MOST_FLAT else TwoLevel)(self.name, self.count, learned)


@dataclass(frozen=True, slots=True)
class Stored:
    """The rows that re-rank candidates, in their stored form."""

    kind: str

    @property
    def name(self) -> str:
        """The same for every kind: a build has one."""
        return "vectors"

    def items(self, work: Work, wave: int) -> Iterable[Item]:
        """The range of each dimension, for 8 bits; nothing for floats."""
        return (Item(self.name, Range(self), wave),)

    def encode(self, work: Work, rows: Rows) -> NDArray[np.uint8] | None:
        """(n, bytes of a row), if they are quantised."""
        return self.coder(work).encode(rows.plain) if self.kind == "int8" else None

    def partition(self, work: Work, number: int) -> memoryview:
        """The stored bytes of a partition's rows: floats lie there already."""
        if self.kind == "int8":
            return work.load(encoded_key(self, number)).data.cast("B")
        return np.ascontiguousarray(work.rows(number), self.kind).data.cast("B")

    def coder(self, work: Work) -> RowCoder:
        """What was trained."""
        return RowCoder(self.kind, work.spec.dim, work.load(key(self)))


@dataclass(frozen=True, slots=True)
class Range:
    """The step that learns how rows are stored."""

    stored: Stored

    def run(self, work: Work) -> int:
        """Save it: faiss needs no more of the sample than its extremes."""
        work.save(key(self.stored), RowCoder.train(self.stored.kind, extremes(work)).trained)
        return sample_size(work)


def key(model: Model) -> str:
    """Where a trained model lies."""
    return f"models/{model.name}.npy"


def encoded_key(model: Model, number: int) -> str:
    """Where lies what partition `number` became."""
    return f"{model.name}/{number:05d}.npy"
