"""Training of product quantisers: sub-spaces are independent, so items do some of them each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.clustering.projected import Learned
from pipeline.device.choose import device
from pipeline.stage import Item
from pipeline.transform import Spectrum
from pipeline.workspace import Work

PER_ENTRY = 256
"""Rows per entry of a codebook that faiss learns from; it would leave out the rest."""

GROUPS = {4: 128, 8: 8}
"""Sub-spaces of an item by bits: up to a second of a core; 8 bits have 16 times the entries, learned from 16 times the
rows."""


@dataclass(frozen=True, slots=True)
class Quantiser:
    """`models/{name}.npy` becomes a (groups, 2**bits, out / groups) codebook, the same whichever items made it."""

    name: str
    out: int
    groups: int
    bits: int

    def pieces(self) -> list[range]:
        """The sub-spaces of each item."""
        each = GROUPS[self.bits]
        return [range(start, min(start + each, self.groups)) for start in range(0, self.groups, each)]

    def key(self, piece: int | None = None) -> str:
        """Where the codebook of an item lies, or the whole."""
        return f"models/{self.name}.npy" if piece is None else f"codebooks/{self.name}/{piece:05d}.npy"


def codebook_items(quantiser: Quantiser, _: Work, wave: int) -> Iterator[Item]:
    """One item, or a wave of several and one that joins them."""
    pieces = range(len(quantiser.pieces()))
    if len(pieces) == 1:
        yield Item(quantiser.name, Train(quantiser, None), wave)
        return
    yield from (Item(f"{quantiser.name}-{piece:05d}", Train(quantiser, piece), wave) for piece in pieces)
    yield Item(quantiser.name, Join(quantiser), wave + 1)


@dataclass(frozen=True, slots=True)
class Train:
    """The step that trains some sub-spaces; all when no piece is named."""

    quantiser: Quantiser
    piece: int | None

    def run(self, work: Work) -> int:
        """Write their part of the codebook."""
        its = self.quantiser
        some = its.pieces()[self.piece or 0]
        width = its.out // its.groups
        order = Spectrum.load(work).balanced(its.out, its.groups).order[some.start * width : some.stop * width]
        learned = Learned(PER_ENTRY << its.bits, its.out)
        rows = np.ascontiguousarray(np.concatenate([part[:, order] for part in learned.parts(work)]))
        made = device(work.spec.device).train_codes(rows, len(some), its.bits, seed=work.spec.build.seed)
        work.save(its.key(self.piece), made)
        return len(rows)


@dataclass(frozen=True, slots=True)
class Join:
    """The step that joins the parts of a codebook."""

    quantiser: Quantiser

    def run(self, work: Work) -> int:
        """Write the whole."""
        its = self.quantiser
        work.save(its.key(), np.concatenate([work.load(its.key(piece)) for piece in range(len(its.pieces()))]))
        return its.groups
