"""What a uniform sample of the list says about recipes worth trying: stages sample, plan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.plan import ENERGY, propose
from pipeline.recipes.candidate import Candidate, Facts
from pipeline.recipes.ladder import ALIGNED
from pipeline.transform import Spectrum, kept_dimensions
from pipeline.workspace import Work

FULL_RANK = 0.75
"""Share of the dimensions above which none are cut off: the reduction would cost more than it saves."""


def sample(work: Work, number: int) -> int:
    """The rows of one partition that belong to the uniform sample without replacement of the whole list."""
    generator = np.random.default_rng(work.spec.build.seed)
    total = work.total()
    chosen = generator.choice(total, min(work.spec.build.sample_rows, total), replace=False, shuffle=False)
    rows, first = work.rows(number), work.first(number)
    mine = np.sort(chosen[(chosen >= first) & (chosen < first + len(rows))]) - first
    work.save(f"sample/{number:05d}.npy", rows[mine])
    return len(mine)


def whole_sample(work: Work) -> NDArray[np.float16]:
    """The sample (s, d) float16, in order of the list."""
    return np.concatenate([work.load(key) for key in work.keys("sample/")])


def plan(work: Work, _: None) -> int:
    """Propose candidates from the sample's spectrum, once: a build that is run again decides the same."""
    rows = whole_sample(work)
    dim, found = rows.shape[1], Spectrum.of(rows)
    out = kept_dimensions(found.values, ENERGY, ALIGNED)
    if out > FULL_RANK * dim:
        out = dim - dim % 2
    spec = work.spec
    facts = Facts(
        rows=work.total(), dim=dim, out=out, recipe=spec.build.recipe, rerank=spec.build.rerank, device=spec.device,
        memory_limit=spec.build.memory_limit_bytes, latency_ms=spec.quality.latency_ms, assignments=spec.build.assignments,
    )  # fmt: skip
    found.save(work)
    work.create_json("plan.json", [candidate.to_json() for candidate in propose(facts)])
    return len(rows)


def candidates(work: Work) -> list[Candidate]:
    """What was decided."""
    return [Candidate.from_json(fields) for fields in work.load_json("plan.json")]
