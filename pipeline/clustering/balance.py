"""How evenly rows are spread over cells: what a probed cell costs depends on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.workspace import Work

KEY = "cells.json"
"""Where the balance of every clustering of a build lies in its work folder, by the clustering's name."""


def balance(sizes: NDArray[np.int64]) -> dict[str, Any]:
    """Of cells of these sizes (c,): their number, rows, the smallest, the largest, how many are empty, the imbalance.

    Imbalance is c * sum(size^2) / (sum size)^2: 1 when all are of one size, and the factor by which probing a cell
    that is met as often as it has rows reads more than then (`imbalance_factor` of faiss).
    """
    rows = int(sizes.sum())
    squares = int((sizes.astype(object) ** 2).sum())
    return {
        "cells": len(sizes), "rows": rows, "smallest": int(sizes.min()), "largest": int(sizes.max()),
        "empty": int((sizes == 0).sum()), "imbalance": len(sizes) * squares / rows**2 if rows else 1.0,
    }  # fmt: skip


def balances(work: Work) -> dict[str, dict[str, Any]]:
    """What stage encode wrote: the balance of each clustering by its name; empty when there is none."""
    return work.load_json(KEY) if KEY in work.keys(KEY) else {}
