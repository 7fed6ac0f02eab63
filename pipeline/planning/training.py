"""Demand of stage train: projections of the sample, rounds of k-means, codebooks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pipeline.clustering.codebooks import PER_ENTRY, Quantiser
from pipeline.clustering.nearby import BLOCK, PROBED
from pipeline.clustering.projected import FEW, Learned
from pipeline.clustering.rounds import TOGETHER
from pipeline.clustering.sizes import PER_CELL
from pipeline.clustering.two_level import PER_FAMILY, ROUNDS, TwoLevel
from pipeline.device.cpu import SUM_BLOCK
from pipeline.kmeans import ITERATIONS
from pipeline.planning.demand import Demand, Step
from pipeline.planning.reading import saved
from pipeline.planning.subject import Subject
from pipeline.recipes.models import MOST_FLAT, Cells, Codes, Stored

CHANGED = 0.25
"""Share of the rows that change their cell in a round, on the average of ten: only those are summed again."""

SUMS = 24
"""Bytes of a component while rows are added up: scaled, rounded, in fixed point, in order of cells."""


def train(subject: Subject) -> Demand:
    """Projections of the sample; then the first step of the cells with the codebooks beside it; then their rounds."""
    if not subject.models:
        return Demand("train", ())
    cells: list[Step] = []
    others: list[Step] = []
    for model in subject.models:
        if isinstance(model, Cells):
            cells += clustered(subject, model.count, subject.out)
        elif isinstance(model, Codes):
            others += _codebook(subject, model)
        elif isinstance(model, Stored):
            others.append(Step(items=1, requests=subject.groups + 2))  # the range of each component
    steps = [*cells[:1], *others]
    return Demand(
        "train", (_projected(subject), *steps[:1], *(replace(step, beside=True) for step in steps[1:]), *cells[1:])
    )


def _projected(subject: Subject) -> Step:
    rows, dim, out = -(-subject.sample // subject.groups), subject.dim, subject.out
    leading, part = rows * out * 4, min(rows, -(-subject.sample // subject.partitions)) * dim
    return Step(
        items=subject.groups, peak=leading + saved(leading) + part * (subject.width + 4) + dim * dim * 12,
        read=rows * dim * subject.width, written=leading * (1 + (subject.sample > FEW)),
        requests=-(-subject.partitions // subject.groups) + 5,
        work={"product": 2 * rows * dim * out, "widened": 2 * rows * dim},
    )  # fmt: skip


def clustered(subject: Subject, cells: int, out: int) -> Iterator[Step]:
    """Steps of a clustering."""
    if cells <= MOST_FLAT:
        yield from _flat(subject, cells, out, min(cells * PER_CELL, subject.sample))
        return
    yield from _two_level(subject, cells, out)


def _flat(subject: Subject, cells: int, out: int, rows: int) -> Iterator[Step]:
    """Rounds over all rows: by one item where that takes about two seconds, by groups otherwise."""
    flops = 2 * rows * cells * out
    table, sums = cells * out * 4, cells * out * 8
    if ITERATIONS * flops / 2 <= TOGETHER:
        learned = rows * out * 4
        summed = rows * out * (1 + CHANGED * 2 * (ITERATIONS - 1))
        yield Step(
            items=1, peak=learned + 3 * sums + table + min(rows, SUM_BLOCK) * out * SUMS, read=_learned(subject, rows, out),
            requests=subject.groups + 2, written=table, work={"nearest": ITERATIONS * flops, "summed": summed},
        )  # fmt: skip
        return
    each = -(-rows // subject.groups)
    yield Step(items=1, peak=3 * table + each * out * 4, read=_learned(subject, rows, out), written=table)
    assign = Step(
        items=subject.groups, times=ITERATIONS, peak=2 * each * out * 4 + table + sums + min(each, SUM_BLOCK) * out * SUMS,
        read=_learned(subject, rows, out) // subject.groups + table, written=sums + cells * 8,
        work={"nearest": flops / subject.groups, "summed": each * out},
    )  # fmt: skip
    move = Step(
        items=1, times=ITERATIONS, peak=4 * sums + table, read=subject.groups * sums, written=table,
        requests=subject.groups * (2 + sums // (4 << 20)), work={"summed": subject.groups * cells * out / 8},
    )  # fmt: skip
    yield from (assign, move)


def _two_level(subject: Subject, cells: int, out: int) -> Iterator[Step]:
    """Families, then rounds over all cells by family: `pipeline.clustering.two_level`.

    Every item of a round but the first puts the centroids in order of the families by itself.
    """
    rows, families = min(cells * PER_CELL, subject.sample), round(cells**0.5)
    yield from _flat(subject, families, out, min(families * PER_FAMILY, FEW, rows))
    each, table = -(-rows // subject.groups), cells * out * 4
    held, pieces = each * out * 4, len(TwoLevel("", cells, Learned(rows, out)).pieces())
    inside, ordering = -(-rows // pieces), 2.0 * cells * families * out
    looked = min(each, BLOCK) * families * 16  # products with all centres, then their order
    known, probed = 4 * table, families + PROBED * cells / families
    split = 3 * inside * out * 4 + min(inside, SUM_BLOCK) * out * SUMS
    yield Step(
        items=subject.groups, peak=3 * held + looked, read=held, written=held, requests=6,
        work={"nearest": 2.0 * each * families * out},
    )  # fmt: skip
    yield Step(items=pieces, peak=split, read=inside * out * 4, written=table // pieces, requests=4 * subject.groups)
    yield Step(
        items=subject.groups, times=ROUNDS, peak=3 * held + known + looked, read=held + table, written=held,
        requests=8 + pieces, work={"nearest": 2.0 * each * probed * out + ordering},
    )  # fmt: skip
    yield Step(
        items=pieces, times=ROUNDS, peak=split + known, read=inside * out * 4 + table, written=table // pieces,
        requests=4 * subject.groups + pieces, work={"nearest": ordering, "summed": float(inside * out)},
    )  # fmt: skip
    yield Step(
        items=1, peak=known + saved(table), read=table, written=table, requests=pieces + 3, work={"nearest": ordering}
    )


def _learned(subject: Subject, rows: int, out: int) -> int:
    """Bytes that are read to learn from so many rows: all of a group's, or the few that are kept apart."""
    return (FEW if rows <= FEW < subject.sample else subject.sample) * out * 4


def _codebook(subject: Subject, model: Codes) -> Iterator[Step]:
    quantiser = Quantiser(model.name, model.out, model.groups, model.bits)
    pieces, rows = quantiser.pieces(), min(PER_ENTRY << model.bits, subject.sample)
    width = model.out // model.groups * len(pieces[0])
    one = subject.sample if subject.sample <= FEW else FEW
    yield Step(
        items=len(pieces), peak=2 * rows * width * 4 + -(-one // subject.groups) * subject.out * 8, requests=subject.groups + 3,
        read=one * subject.out * 4, work={"trained": rows * (1 << model.bits) * width},
    )  # fmt: skip
    if len(pieces) > 1:
        yield Step(items=1, requests=len(pieces) + 1)
