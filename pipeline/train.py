"""Stage train: the models of the candidates, from the sample."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pipeline.recipes.known import recipe_of
from pipeline.recipes.models import Cells, Model, Rows
from pipeline.sample import candidates, whole_sample
from pipeline.stage import Item
from pipeline.transform import Spectrum
from pipeline.workspace import Work


def models(work: Work) -> list[Model]:
    """What the candidates need, each once; those that take longest first."""
    wanted = {model.name: model for candidate in candidates(work) for model in recipe_of(candidate).models(candidate)}
    return sorted(wanted.values(), key=lambda model: (not isinstance(model, Cells), model.name))


def trained(work: Work) -> Iterable[Item]:
    """One item per model."""
    yield from (Item(model.name, model) for model in models(work))


def train(work: Work, model: Model) -> int:
    """Train one model on the sample."""
    sample = whole_sample(work).astype(np.float32)
    model.train(work, projected(work, sample))
    return len(sample)


def projected(work: Work, rows: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> Rows:
    """Rows (n, d) float32 with the leading components that any model of the build needs."""
    most = max((candidate.parameters.get("out", 0) for candidate in candidates(work)), default=0)
    return Rows(rows, Spectrum.load(work).leading(rows, most))
