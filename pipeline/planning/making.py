"""Demands of the stages that make the index: encode, assemble, publish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pipeline.clustering.nearby import PROBED
from pipeline.planning.demand import Demand, Step
from pipeline.planning.reading import NAME, saved
from pipeline.planning.subject import Subject
from pipeline.recipes.candidate import Candidate
from pipeline.recipes.models import MOST_FLAT, Cells, Codes, Model, Stored

CHUNK = 8 << 20
"""Bytes of a file that are moved at a time."""


def encode(subject: Subject) -> Demand:
    """A partition at a time: its floats, their leading components, once more in the order of the groups of codes."""
    if not subject.models:
        return Demand("encode", ())
    rows, dim, out = subject.partition_rows, subject.dim, subject.out
    halves, floats, leading = rows * dim * subject.width, rows * dim * 4, rows * out * 4
    written = sum(_encoded_bytes(subject, model) for model in subject.models)
    largest = max(_encoded_bytes(subject, model) for model in subject.models)
    work: dict[str, float] = {"widened": rows * dim, "product": 2.0 * rows * dim * out}
    for model in subject.models:
        for kind, units in _encoding(subject, model):
            work[kind] = work.get(kind, 0.0) + units
    table = subject.cells * out * 4
    partition = Step(
        items=subject.partitions, peak=max(halves + floats, floats + 2 * leading + table + 2 * largest + saved(largest)),
        read=halves + dim * dim * 4 + table, written=int(written), requests=4 + 3 * len(subject.models), work=work,
    )  # fmt: skip
    if not subject.cells:
        return Demand("encode", (partition,))
    balance = Step(
        items=1, peak=rows * 12 + subject.cells * 16, read=subject.rows * 4, requests=subject.partitions,
        work={"hashed": subject.rows / 20},
    )  # fmt: skip
    return Demand("encode", (partition, balance))


def _encoded_bytes(subject: Subject, model: Model) -> int:
    """Bytes that a partition becomes by a model."""
    rows = subject.partition_rows
    if isinstance(model, Codes):
        return rows * model.groups * model.bits // 8
    if isinstance(model, Cells):
        return rows * 4 * model.assignments
    return rows * subject.dim if isinstance(model, Stored) and model.kind == "int8" else 0


def _encoding(subject: Subject, model: Model) -> Iterator[tuple[str, float]]:
    rows = subject.partition_rows
    if isinstance(model, Codes):
        yield "widened", rows * model.out / 2  # put in order
        yield ("coded" if model.bits == 4 else "coded_wide"), rows * (1 << model.bits) * model.out
    elif isinstance(model, Cells):
        yield "nearest", 2.0 * rows * compared(model.count) * model.out * model.assignments
    elif isinstance(model, Stored) and model.kind == "int8":
        yield "widened", rows * subject.dim


def compared(cells: int) -> float:
    """Centroids that a row is compared with."""
    if cells <= MOST_FLAT:
        return float(cells)
    families = round(cells**0.5)
    return float(families + PROBED * cells / families)


def assemble(subject: Subject) -> Demand:
    """Names, rows that re-rank, then an index a shard of each candidate that is measured."""
    coded = [one for one in subject.assembled if one.recipe != "exact"]
    steps = list(shared(subject, subject.assembled))
    steps += [index(subject, one) for one in coded]
    steps += [rows_file(subject, one) for one in subject.assembled if one.recipe == "exact"]
    return Demand("assemble", tuple(replace(step, beside=True) for step in steps))


def shared(subject: Subject, candidates: Sequence[Candidate]) -> Iterator[Step]:
    """Files that candidates share: names, and rows that re-rank where there are codes."""
    if not candidates:
        return
    main = next((one for one in candidates if one.recipe != "exact"), candidates[0])
    rows, columns = subject.shard_rows(main), 2 if subject.people else 1
    part = subject.partition_rows * NAME
    yield Step(
        items=main.shards * columns, peak=4 * part + rows * 8, read=rows * NAME, written=rows * NAME,
        requests=-(-subject.partitions // main.shards) + 3, work={"hashed": rows},
    )  # fmt: skip
    if main.recipe != "exact":
        yield rows_file(subject, main)


def rows_file(subject: Subject, candidate: Candidate) -> Step:
    """The rows of a shard as they are stored, a partition at a time: one is still held while the next is read."""
    rows = subject.shard_rows(candidate)
    stored = int(candidate.parameters.get("row_bytes", subject.dim * 2))
    return Step(
        items=candidate.shards, peak=2 * subject.partition_rows * max(stored, subject.dim * subject.width),
        read=rows * stored, written=rows * stored, requests=-(-subject.partitions // candidate.shards) + 3,
    )  # fmt: skip


def index(subject: Subject, candidate: Candidate) -> Step:
    """Codes with their numbers, once as they were made, once in the lists of their cells; then chunks of its file."""
    its, rows = candidate.parameters, subject.shard_rows(candidate)
    code, each, cells = int(its["code_bytes"]), int(its.get("assignments", 1)), int(its.get("nlist", 0))
    entries = rows * each
    sorting = entries * (4 + 8 + 8) if cells else entries * 8
    lists = entries * (code + 8)
    tables = 2 * cells * subject.out * 4 + subject.dim * subject.out * 8
    moved = entries * code + (entries * 4 if cells else 0)
    return Step(
        items=candidate.shards, peak=rows * code + sorting + lists + tables + CHUNK, read=moved + tables // 2,
        written=lists + tables // 2, requests=2 * -(-subject.partitions // candidate.shards) + 8,
        # through a temporary file: written once more, read once more
        work={"packed": entries * code, "read": lists, "write": lists},
    )  # fmt: skip


def publish(subject: Subject) -> Demand:
    """The chosen files are put in their place inside the bucket."""
    return Demand("publish", (Step(items=1, requests=12 * subject.chosen.shards + 10),))
