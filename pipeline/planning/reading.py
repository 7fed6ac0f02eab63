"""Demands of the stages that read the list: partition, extract, census, sample, plan."""

from __future__ import annotations

from pipeline import duplicates, person_codes
from pipeline.planning.demand import Demand, Step
from pipeline.planning.subject import Subject

CHUNK = 16 << 20
"""Bytes in which NumPy writes an array into memory."""

GROWN = 1.125
"""Times its contents that a buffer takes while it grows."""

NAME = 36
"""Bytes of a name: a UUID as text."""

NAME_OBJECT = 170
"""Bytes of a name as a Python string, in a list, with its encoded form."""

COPIES = 2.0
"""Times that a component is copied on its way from the source to the bucket, in terms of one that is widened."""

BATCH = 8_192
"""Rows of the source that are raw in memory."""


def saved(nbytes: float) -> int:
    """Bytes that writing an array of so many takes beside it."""
    return int(GROWN * nbytes + min(nbytes, CHUNK))


def partition(_: Subject) -> Demand:
    """Names and sizes only."""
    return Demand("partition", (Step(items=1),))


def extract(subject: Subject) -> Demand:
    """Batches in one room, then saved, with the names beside them."""
    rows = subject.partition_rows
    made = rows * subject.dim * subject.width
    columns = 2 if subject.people else 1
    names = rows * NAME_OBJECT * columns
    raw = min(rows, BATCH) * subject.dim * subject.value_bytes
    return Demand("extract", (
        Step(
            items=subject.partitions, peak=made + max(raw, saved(made)) + names,
            read=rows * (subject.dim * subject.value_bytes + NAME * columns), written=made + rows * NAME * columns,
            requests=8, work={"normalise": rows * subject.dim, "names": rows * columns, "widened": COPIES * rows * subject.dim},
        ),
    ))  # fmt: skip


def census(subject: Subject) -> Demand:
    """Keys of names are sorted, so many at a time that a list of more is read again for each so many."""
    rows = subject.rows
    passes = -(-rows // duplicates.AT_ONCE) + 2
    peak = min(rows, duplicates.AT_ONCE) * 8 * 3 + subject.partition_rows * NAME * 3
    if subject.people:
        passes += 2 * -(-rows // person_codes.AT_ONCE)
        peak = max(peak, rows * 30)
    return Demand("census", (
        Step(
            items=1, peak=peak, read=passes * rows * NAME, requests=passes * subject.partitions + 2 * subject.partitions,
            written=rows * 4 if subject.people else 0, work={"hashed": passes * rows},
        ),
    ))  # fmt: skip


def sample(subject: Subject) -> Demand:
    """A partition, with the rows that are taken out of it."""
    made = subject.partition_rows * subject.dim * subject.width
    taken = subject.sample / subject.partitions * subject.dim * subject.width
    peak = made + int(taken) + saved(taken)
    return Demand("sample", (
        Step(items=subject.partitions, peak=peak, read=made, written=int(taken), requests=5, work={"widened": made / 4}),
    ))  # fmt: skip


def plan(subject: Subject) -> Demand:
    """The second moment of each group of the sample, then the directions of all."""
    rows, dim = -(-subject.sample // subject.groups), subject.dim
    square = dim * dim * 8
    part = rows * dim * subject.width
    block = min(16_384, subject.partition_rows) * dim * 4
    moments = Step(
        items=subject.groups, peak=3 * square + min(part, subject.partition_rows * dim * subject.width) + block,
        read=part, written=square, requests=subject.partitions // subject.groups + 3,
        work={"product": 2 * rows * dim * dim, "widened": rows * dim},
    )  # fmt: skip
    # eigenvectors of a symmetric matrix: about 9 n^3 operations, in double precision, hardly any of them in products
    decide = Step(
        items=1, peak=6 * square, read=subject.groups * square, requests=subject.groups + 3,
        work={"product": 9 * 8 * dim**3},
    )  # fmt: skip
    return Demand("plan", (moments, decide))
