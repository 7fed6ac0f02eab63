"""Stage train: the models of the candidates, from the sample."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pipeline.device.choose import device
from pipeline.kmeans import spherical
from pipeline.plan import Candidate
from pipeline.sample import candidates, whole_sample
from pipeline.search.assembly import RowCoder
from pipeline.stage import Item
from pipeline.transform import Transform
from pipeline.workspace import Work


def coded(work: Work) -> list[Candidate]:
    """Candidates that have codes."""
    return [candidate for candidate in candidates(work) if candidate.recipe != "exact"]


def bits_of(work: Work) -> list[tuple[int, int]]:
    """The (bits, groups) of product codes that candidates share."""
    return sorted({(one.parameters["bits"], one.parameters["groups"]) for one in coded(work)})


def cells_of(work: Work) -> list[int]:
    """The cell counts of candidates with cells."""
    return sorted({one.parameters["nlist"] for one in coded(work) if "nlist" in one.parameters})


def models(work: Work) -> Iterable[Item]:
    """One item per model; those that take longest first."""
    yield from (Item(f"cells-{count}", ("cells", count, 0)) for count in cells_of(work))
    yield from (Item(f"codes-{bits}bit", ("codes", bits, groups)) for bits, groups in bits_of(work))
    if coded(work):
        yield Item("rows", ("rows", 0, 0))


def train(work: Work, value: tuple[str, int, int]) -> int:
    """Train one model: coarse cells, a product quantiser's codebook, or the stored form of rows."""
    what, size, groups = value
    rows = whole_sample(work).astype(np.float32)
    seed = work.spec.build.seed
    if what == "rows":
        kind = coded(work)[0].parameters["rerank"]
        work.save("models/rows.npy", RowCoder.train(kind, rows).trained)
        return len(rows)
    projected = Transform.load(work).apply(rows)
    worker = device(work.spec.device)
    if what == "cells":
        work.save(cells_key(size), spherical(projected, size, worker, seed=seed))
    else:
        work.save(codebook_key(size), worker.train_codes(projected, groups, size, seed=seed))
    return len(rows)


def cells_key(count: int) -> str:
    """Where centroids lie."""
    return f"models/cells-{count}.npy"


def codebook_key(bits: int) -> str:
    """Where a codebook lies."""
    return f"models/codebook-{bits}bit.npy"


def row_coder(work: Work) -> RowCoder:
    """The trained stored form of re-ranking rows."""
    parameters = coded(work)[0].parameters
    return RowCoder(parameters["rerank"], work.spec.dim, work.load("models/rows.npy"))
