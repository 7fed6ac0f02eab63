"""Stage encode: one partition's codes, cells and re-ranking rows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pipeline.device.choose import device
from pipeline.extract import numbers
from pipeline.stage import Item
from pipeline.train import bits_of, cells_key, cells_of, codebook_key, coded, row_coder
from pipeline.transform import Transform
from pipeline.workspace import Work


def coded_numbers(work: Work) -> Iterable[Item]:
    """Every partition, unless no candidate has codes."""
    return numbers(work) if coded(work) else ()


def encode(work: Work, number: int) -> int:
    """Write the codes for every trained model; each is an (n, …) array in the order of the partition's rows."""
    rows = work.rows(number).astype(np.float32)
    projected = Transform.load(work).apply(rows)
    worker = device(work.spec.device)
    for bits, _ in bits_of(work):
        codes = worker.encode(projected, np.ascontiguousarray(work.load(codebook_key(bits))))
        work.save(f"codes/{bits}bit/{number:05d}.npy", codes)
    for count in cells_of(work):
        cells, _ = worker.nearest(projected, np.ascontiguousarray(work.load(cells_key(count))))
        work.save(f"cells/{count}/{number:05d}.npy", cells.astype(np.int32))
    work.save(f"vectors/{number:05d}.npy", row_coder(work).encode(rows))
    return len(rows)
