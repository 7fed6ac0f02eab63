"""Confidence bounds of a share by Clopper and Pearson (Biometrika 26, 1934)."""

from __future__ import annotations

import math

from pipeline.search.bounds import lower_bound, upper_bound

__all__ = ["interval", "lower_bound", "needed", "upper_bound"]


def interval(events: int, trials: int, confidence: float) -> tuple[float, float]:
    """Two-sided interval of a share: each side takes half of the risk."""
    side = 1 - (1 - confidence) / 2
    return lower_bound(events, trials, side), upper_bound(events, trials, side)


def needed(target: float, confidence: float) -> int:
    """Trials that can prove a share below `target` at all: 0 of n events bound it by 1 - (1 - confidence)^(1/n)."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - target))
