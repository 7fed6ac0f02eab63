"""Confidence bounds of a share by the method of Clopper–Pearson (Biometrika 26, 1934).

Here, because the matcher watches live answers with the bounds by which a build is gated.
"""

from __future__ import annotations

import math

import numpy as np

STEPS = 60
"""Bisections: the bound is exact to 1e-18, far below what the sums are."""


def upper_bound(events: int, trials: int, confidence: float) -> float:
    """One-sided upper bound of a share: the p with P(X <= events | trials, p) = 1 - confidence.

    1.0 when there is nothing to go by.  Found by bisection on the binomial tail, summed in logarithms.
    """
    if trials == 0 or events >= trials:
        return 1.0
    # log of the binomial coefficients C(trials, 0) … C(trials, events)
    hits = np.arange(1, events + 1, dtype=np.float64)
    coefficients = np.concatenate([[0.0], np.cumsum(np.log((trials - hits + 1) / hits))])
    low, high = events / trials, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if middle >= 1.0 or _tail(coefficients, trials, middle) <= 1 - confidence:
            high = middle
        else:
            low = middle
    return high


def _tail(coefficients: np.ndarray[tuple[int], np.dtype[np.float64]], trials: int, share: float) -> float:
    """P(X <= events) of a binomial distribution, from the logarithms of its coefficients."""
    if share <= 0:
        return 1.0
    hits = np.arange(len(coefficients))
    logs = coefficients + hits * math.log(share) + (trials - hits) * math.log1p(-share)
    largest = float(logs.max())
    return math.exp(largest) * float(np.exp(logs - largest).sum())


def lower_bound(events: int, trials: int, confidence: float) -> float:
    """One-sided lower bound of a share; 0.0 when there is nothing to go by."""
    return 1.0 - upper_bound(trials - events, trials, confidence) if trials else 0.0
