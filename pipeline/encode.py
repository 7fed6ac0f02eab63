"""Stage encode: one partition's codes, cells, re-ranking rows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pipeline.extract import numbers
from pipeline.recipes.models import encoded_key
from pipeline.stage import Item
from pipeline.train import models, projected
from pipeline.workspace import Work


def encoded(work: Work) -> Iterable[Item]:
    """Every partition, unless no candidate has codes."""
    return numbers(work) if models(work) else ()


def encode(work: Work, number: int) -> int:
    """Write what every model makes of a partition, each an (n, …) array in the order of its rows."""
    rows = projected(work, work.rows(number).astype(np.float32))
    for model in models(work):
        made = model.encode(work, rows)
        if made is not None:
            work.save(encoded_key(model, number), made)
    return len(rows.plain)
