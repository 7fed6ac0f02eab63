"""Stage train: the models of the candidates, from the sample."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from pipeline.clustering.projected import Projected
from pipeline.clustering.sampled import groups
from pipeline.recipes.known import recipe_of
from pipeline.recipes.models import Cells, Model
from pipeline.sample import candidates
from pipeline.stage import Item
from pipeline.workspace import Work


class Step(Protocol):
    """What an item of the stage does; small data that say which rows, which models."""

    def run(self, work: Work) -> int:
        """Read, compute, write whole objects; returns the rows that were handled."""
        ...


def models(work: Work) -> list[Model]:
    """What the candidates need, each once; those that take longest first."""
    wanted = {model.name: model for candidate in candidates(work) for model in recipe_of(candidate).models(candidate)}
    return sorted(wanted.values(), key=lambda model: (not isinstance(model, Cells), model.name))


def components(work: Work) -> int:
    """How many leading components the models need at most."""
    return max((candidate.parameters.get("out", 0) for candidate in candidates(work)), default=0)


def trained(work: Work) -> Iterable[Item]:
    """Projections of the sample, then what each model needs, wave by wave beside the others."""
    wanted = models(work)
    if wanted:
        out = components(work)
        yield from (Item(f"sample-{group.number:05d}", Projected(group.number, out)) for group in groups(work))
    for model in wanted:
        yield from model.items(work, 1)


def train(work: Work, step: Step) -> int:
    """Do one item of the stage."""
    return step.run(work)
