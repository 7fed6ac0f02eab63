"""A second cell for each row, chosen so that it is found by queries to whom the first looks far."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.device.verbs import Device

CHOICES = 8
"""Nearest cells among which the second is chosen."""

SPREAD = 1.0
"""Weight of a residual that points the same way as the first cell's (lambda of the source)."""

BLOCK = 8_192
"""Rows at a time: bounds the residuals to 168 MB at 640 dimensions."""


def second(rows: NDArray[np.float32], centroids: NDArray[np.float32], worker: Device) -> NDArray[np.int32]:
    """Two cells for each row (n, d): (n, 2), the nearest first.

    The second minimises |r'|^2 + lambda (r' . r / |r|)^2 over its residual r' and the first cell's r: spilling with
    orthogonality-amplified residuals (Sun et al., "SOAR", NeurIPS 2023, equation 5).
    """
    found = np.empty((len(rows), 2), np.int32)
    for start in range(0, len(rows), BLOCK):
        some = rows[start : start + BLOCK]
        near = worker.knn(some, centroids, min(CHOICES, len(centroids)))[1]
        residuals = some[:, None, :] - centroids[near]
        first = residuals[:, 0] / np.maximum(np.linalg.norm(residuals[:, 0], axis=1, keepdims=True), 1e-12)
        others = residuals[:, 1:]
        loss = (others**2).sum(axis=2) + SPREAD * np.einsum("ncd,nd->nc", others, first) ** 2
        best = 1 + loss.argmin(axis=1)
        found[start : start + BLOCK, 0] = near[:, 0]
        found[start : start + BLOCK, 1] = np.take_along_axis(near, best[:, None], axis=1)[:, 0]
    return found
