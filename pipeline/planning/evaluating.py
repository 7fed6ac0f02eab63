"""Demands of the stages that find out how good candidates are: probes, truth, measure, evaluate."""

from __future__ import annotations

from pipeline.artifact import Point
from pipeline.device.products import LEAST_ROWS
from pipeline.measuring import ENOUGH
from pipeline.planning.demand import Demand, Step
from pipeline.planning.reading import saved
from pipeline.planning.subject import Subject, expected_point
from pipeline.quality.drawing import COVARIANCE_ROWS
from pipeline.quality.figures import RECALL_AT
from pipeline.quality.measure import BATCH, LEAST_CALLS, MOST_SECONDS, SPEED_BATCHES
from pipeline.quality.truth import BLOCK
from pipeline.recipes.candidate import Candidate
from pipeline.recipes.known import alone_ms, cost

FOUND = 12
"""Bytes of a found row: its number, its similarity."""

AROUND = 64 << 10
"""Bytes of a mapped file that become resident when one row of it is touched (Linux' fault_around_bytes)."""

COMPARED = 25
"""Bytes of a similarity of a block while the best of it are looked for: itself, copies, their order."""

REPORT_S, PROBES_S = 1.6, 0.5
"""Seconds of a report with its pictures; of the model that mates are made by."""

LISTS = 6
"""Lists of found rows that judging holds at a time: before, after, their order, whose rows they are."""


def probes(subject: Subject) -> Demand:
    """Rows of the list, with made mates of some: noise of the covariance of the sample is added, made orthogonal."""
    wide = subject.dim * 4
    mates, others = subject.mates * wide, (subject.probes - subject.mates) * wide
    sample = subject.sample * subject.dim
    covariance = min(subject.sample, COVARIANCE_ROWS) * wide * 3
    part = subject.partition_rows * subject.dim * subject.width
    both = mates + others
    peak = max(
        sample * subject.width + covariance,
        2 * mates + 2 * part,
        mates + others + 2 * part,
        2 * both + saved(both) + both,
    )
    return Demand("probes", (
        Step(
            items=1, peak=peak + people(subject), read=sample * subject.width + 2 * subject.rows * subject.dim * subject.width,
            written=both, requests=4 * subject.partitions,
            work={"fixed": PROBES_S, "widened": 12.0 * subject.mates * subject.dim, "product": 2.0 * subject.mates * subject.dim**2
                  + 160.0 * subject.dim**3 + 2.0 * min(subject.sample, COVARIANCE_ROWS) * subject.dim**2},
        ),
    ))  # fmt: skip


def truth(subject: Subject) -> Demand:
    """All probes beside one partition."""
    rows, dim = subject.partition_rows, subject.dim
    queries, found = subject.probes * dim * 4, subject.probes * depth(subject) * FOUND
    part, block = rows * dim, min(subject.probes, BLOCK) * LEAST_ROWS * COMPARED
    return Demand("truth", (
        Step(
            items=subject.partitions, peak=queries + part * 4 + max(part * subject.width, 3 * found, 2 * found + block),
            read=queries + part * subject.width, written=found, requests=6,
            work={"searched": 2.0 * subject.probes * rows * dim, "widened": part, "judged": subject.probes * depth(subject)},
        ),
    ))  # fmt: skip


def measure(subject: Subject) -> Demand:
    """Each candidate that is assembled at its points: those of one shard until enough are good, else all."""
    return Demand("measure", tuple(_measured(subject, one) for one in subject.assembled))


def _measured(subject: Subject, candidate: Candidate) -> Step:
    points = sorted(candidate.points, key=lambda point: cost(candidate, point))
    if candidate.shards == 1 and candidate.recipe == "scan":
        points = points[:ENOUGH]  # most lists lose no mate from the first depth on
    choosing = subject.mates // 2
    spent = sum(_timed(candidate, point, choosing) for point in points) / candidate.shards
    found = choosing * depth(subject)
    drawn = choosing * max(point.rerank for point in points)
    return Step(
        items=candidate.shards, beside=True, peak=_trial(subject) + choosing * subject.dim * 4 + opened(subject, candidate),
        mapped=_mapped(subject, candidate, drawn), read=_read(subject), requests=subject.partitions + 20,
        work={"scanned": spent, "judged": len(points) * 20.0 * found + _merging(subject), "read": opened(subject, candidate)},
    )  # fmt: skip


def _timed(candidate: Candidate, point: Point, queries: int) -> float:
    """Seconds of a point by the cost model: a first batch, the answers, then calls of several sizes that are timed."""
    each, alone = cost(candidate, point) * 1e-6, alone_ms(candidate, point) * 1e-3
    limit = min(MOST_SECONDS, queries * each / len(SPEED_BATCHES))
    calls = sum(max(LEAST_CALLS * size * (alone if size == 1 else each), limit) for size in SPEED_BATCHES)
    return (queries + min(BATCH, queries)) * each + calls


def evaluate(subject: Subject) -> Demand:
    """The gating half with all non-mates at the expected point, a shard after the other; then the report."""
    chosen = subject.chosen
    gated = subject.probes - subject.mates // 2
    point = expected_point(chosen)
    spent = cost(chosen, point) * 1e-6 * gated if chosen in subject.assembled else 0.0
    rows = subject.shard_rows(chosen)
    late = 0 if chosen in subject.assembled else subject.rows * subject.dim * 2
    names = rows * 36 * (2 if subject.people else 1)
    return Demand("evaluate", (
        Step(
            items=1, peak=_trial(subject) + gated * subject.dim * 4 + max(opened(subject, chosen) if not late else 0, 2 * names),
            mapped=0 if late else _mapped(subject, chosen, gated * point.rerank),
            read=_read(subject) + names * chosen.shards + 3 * late + subject.rows * 36, written=late,
            requests=3 * subject.partitions + 20,
            work={
                "scanned": spent, "judged": _merging(subject) + 100.0 * gated * depth(subject), "read": names, "fixed": REPORT_S
            },
        ),
    ))  # fmt: skip


def depth(subject: Subject) -> int:
    """Rows that are found for a probe."""
    return max(subject.quality.k, RECALL_AT) + 1


def people(subject: Subject) -> int:
    """Bytes of the codes of people: read, then of each code how often it occurs."""
    return subject.rows * 8 if subject.people else 0


def opened(subject: Subject, candidate: Candidate) -> int:
    """Bytes of an open shard, and of the names of its rows."""
    return subject.shard_bytes(candidate)


def _mapped(subject: Subject, candidate: Candidate, drawn: int) -> int:
    """Bytes of the file of rows that become resident when so many are drawn from it; larger files are read instead."""
    nbytes = subject.shard_rows(candidate) * int(candidate.parameters.get("row_bytes", 0))
    if nbytes > subject.build.shard_bytes:
        return 0
    return min(nbytes, drawn * AROUND) + subject.shard_rows(candidate) * 36


def _trial(subject: Subject) -> int:
    """Bytes of the probes with the merged answers of exact search."""
    return subject.probes * (subject.dim * 4 + LISTS * depth(subject) * FOUND) + people(subject)


def _read(subject: Subject) -> int:
    found = subject.probes * depth(subject) * FOUND
    return subject.probes * subject.dim * 4 + subject.partitions * found


def _merging(subject: Subject) -> float:
    """Found rows that are ordered while the answers of partitions are merged."""
    return 2.0 * subject.probes * depth(subject) * subject.partitions
