"""How many shards candidates get, from the bytes that a shard may take; no effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.errors import PlanImpossible
from pipeline.recipes.candidate import Candidate, Facts
from pipeline.recipes.known import memory, shard_of


def in_shards(candidates: Sequence[Candidate], facts: Facts) -> list[Candidate]:
    """The candidates with their numbers of shards: as many as are wanted, else as few as `shard_bytes` allows.

    Candidates with codes get one number, that of the largest, since they share files of names and of rows that re-rank;
    the exact one has its own.  Those whose shards would hold less than a partition are left out.  Raises PlanImpossible
    when that is all of them, or more shards are wanted than there are rows.
    """
    if facts.shards:
        if facts.shards > facts.rows:
            raise PlanImpossible(
                f"build.shards: expected at most one shard a row, got {facts.shards:,} shards for {facts.rows:,} rows"
            )
        return [replace(one, shards=facts.shards) for one in candidates]
    if not facts.shard_bytes:
        return list(candidates)
    needed = {one.name: needed_shards(one, facts) for one in candidates}
    if not any(needed.values()):
        raise PlanImpossible(_too_small(candidates, facts))
    coded = max((needed[one.name] for one in candidates if one.recipe != "exact"), default=0)
    return [
        replace(one, shards=needed[one.name] if one.recipe == "exact" else coded)
        for one in candidates if needed[one.name]
    ]  # fmt: skip


def needed_shards(candidate: Candidate, facts: Facts) -> int:
    """The fewest shards of `shard_bytes`; 0 where a shard would hold less than a partition."""
    fixed, most = _bytes(candidate, 0), facts.shard_bytes
    each = _bytes(candidate, 1) - fixed
    held = (most - fixed) // each
    return -(-candidate.rows // held) if held >= _least(facts) else 0


def _least(facts: Facts) -> int:
    """Rows that a shard holds at least."""
    return max(min(facts.partition_rows, facts.rows), 1)


def _bytes(candidate: Candidate, rows: int) -> int:
    return memory(shard_of(candidate, rows)).anonymous


def _too_small(candidates: Sequence[Candidate], facts: Facts) -> str:
    rows = _least(facts)
    least = min(candidates, key=lambda one: _bytes(one, rows))
    return (
        f"build.shard_bytes: a shard of {rows:,} rows, which are one partition, takes at least {_bytes(least, rows):,} bytes "
        f"({least.name}), allowed are {facts.shard_bytes:,}: raise it, or lower build.partition_rows"
    )
