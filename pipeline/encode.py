"""Stage encode: one partition's codes, cells, re-ranking rows."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pipeline.clustering.balance import KEY, balance
from pipeline.extract import numbers
from pipeline.recipes.models import Cells, Rows, encoded_key
from pipeline.stage import Item
from pipeline.train import components, models
from pipeline.transform import Spectrum
from pipeline.workspace import Work

logger = logging.getLogger(__name__)

BALANCE = -1
"""The item that looks at the sizes of cells; the others are numbers of partitions."""


def encoded(work: Work) -> Iterable[Item]:
    """Every partition, unless no candidate has codes; then the balance of cells, where there are any."""
    wanted = models(work)
    if wanted:
        yield from numbers(work)
    if _clusterings(work):
        yield Item("balance", BALANCE, wave=1)


def encode(work: Work, number: int) -> int:
    """Write what every model makes of a partition, each an (n, …) array in the order of its rows."""
    if number == BALANCE:
        return _balance(work)
    plain = work.rows(number).astype(np.float32)
    rows = Rows(plain, Spectrum.load(work).leading(plain, components(work)))
    for model in models(work):
        made = model.encode(work, rows)
        if made is not None:
            work.save(encoded_key(model, number), made)
    return len(plain)


def _balance(work: Work) -> int:
    """Write how evenly every clustering's cells are filled, reading the cells of one partition at a time."""
    found = {model.name: balance(_sizes(work, model)) for model in _clusterings(work)}
    for name, its in found.items():
        logger.info(
            "%s: %d to %d rows a cell, imbalance %.2f.", name, its["smallest"], its["largest"], its["imbalance"]
        )
    work.save_json(KEY, found)
    return work.total()


def _sizes(work: Work, model: Cells) -> NDArray[np.int64]:
    sizes = np.zeros(model.count, np.int64)
    for number in range(work.partitions()):
        sizes += np.bincount(work.load(encoded_key(model, number)).ravel(), minlength=model.count)
    return sizes


def _clusterings(work: Work) -> list[Cells]:
    return [model for model in models(work) if isinstance(model, Cells)]
