"""What a uniform sample of the list says about recipes worth trying: stages sample, plan."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pipeline.clustering.sampled import groups, part_key, parts_of, sample_size, shares
from pipeline.kmeans import check_rows
from pipeline.plan import ENERGY, propose
from pipeline.recipes.candidate import Candidate, Facts
from pipeline.recipes.known import recipe_of
from pipeline.recipes.ladder import ALIGNED
from pipeline.recipes.models import Cells
from pipeline.stage import Item
from pipeline.transform import Spectrum, kept_dimensions, moment
from pipeline.workspace import Work

FULL_RANK = 0.75
"""Share of the dimensions above which none are cut off: the reduction would cost more than it saves."""

DECIDE = -1
"""The item of stage plan that decides; the others are numbers of groups."""


def sample(work: Work, number: int) -> int:
    """The rows of one partition that belong to the sample: its share of all, chosen uniformly without replacement.

    Each partition draws by itself, from the seed and its number: no item needs to know the rest of the list.
    """
    generator = np.random.default_rng([work.spec.build.seed, number])
    rows, share = work.rows(number), shares(work)[number]
    work.save(part_key(number), rows[np.sort(generator.choice(len(rows), share, replace=False))])
    return share


def planned(work: Work) -> Iterable[Item]:
    """The second moment of each group of the sample, then the decision."""
    yield from (Item(f"moment-{group.number:05d}", group.number) for group in groups(work))
    yield Item("decide", DECIDE, wave=1)


def plan(work: Work, number: int) -> int:
    """Do one item of the stage."""
    return _decide(work) if number == DECIDE else _moment(work, number)


def _moment(work: Work, number: int) -> int:
    group = groups(work)[number]
    total = np.zeros((work.spec.dim, work.spec.dim))
    for part in parts_of(work, group):
        total += moment(part)
    work.save(_moment_key(number), total)
    return group.rows


def _decide(work: Work) -> int:
    """Propose candidates from the sample's spectrum, once: a build that is run again decides the same."""
    total = np.zeros((work.spec.dim, work.spec.dim))
    for group in groups(work):  # in their order: sums of floats depend on it
        total += work.load(_moment_key(group.number))
    found, rows = Spectrum.of(total, sample_size(work)), sample_size(work)
    proposed = propose(_facts(work, found))
    for candidate in proposed:
        for model in recipe_of(candidate).models(candidate):
            if isinstance(model, Cells):
                check_rows(rows, model.count)
    found.save(work)
    work.create_json("plan.json", [candidate.to_json() for candidate in proposed])
    return rows


def _facts(work: Work, found: Spectrum) -> Facts:
    spec, dim = work.spec, work.spec.dim
    out = kept_dimensions(found.values, ENERGY, ALIGNED)
    if out > FULL_RANK * dim:
        out = dim - dim % 2
    return Facts(
        rows=work.total(), dim=dim, out=out, recipe=spec.build.recipe, rerank=spec.build.rerank, device=spec.device,
        memory_limit=spec.build.memory_limit_bytes, latency_ms=spec.quality.latency_ms, assignments=spec.build.assignments,
        shards=spec.build.shards, shard_bytes=spec.build.shard_bytes, partition_rows=spec.build.partition_rows,
    )  # fmt: skip


def _moment_key(number: int) -> str:
    return f"moments/{number:05d}.npy"


def candidates(work: Work) -> list[Candidate]:
    """What was decided."""
    return [Candidate.from_json(fields) for fields in work.load_json("plan.json")]
