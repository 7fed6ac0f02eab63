"""The array types of this package."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
People = NDArray[np.int32]
Flags = NDArray[np.bool_]
Halves = NDArray[np.int8]

Lists = tuple[Floats, Numbers]
"""Candidates of probes: similarities (p, k), best first, with the gallery rows (p, k) they belong to.

An empty place has the number -1 and the similarity -1.
"""
