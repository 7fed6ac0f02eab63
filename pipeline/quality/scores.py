"""The similarities that decide about a probe, of exact search beside an index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.quality.arrays import Flags, Floats
from pipeline.quality.figures import Side, threshold_at

NO_MATE = -2.0
"""The similarity of a probe without a mate among its candidates: below every threshold."""


def best_mates(side: Side, k: int) -> Floats:
    """(p,) similarity of the best mate among each probe's first k candidates; NO_MATE where there is none.

    `side.accepted(t, k)` is the same as `best_mates(side, k) >= t`, which holds for any number of thresholds at once.
    """
    best: Floats = np.where(side.mates, side.lists[0], np.float32(NO_MATE))[:, :k].max(axis=1, initial=NO_MATE)
    return best


@dataclass(frozen=True, slots=True)
class Scores:
    """Everything that thresholds are set by; every array is float32."""

    exact: Floats
    """(p,) exact search's best mate of each mated probe."""
    index: Floats
    """(p,) the index's, of the same probes."""
    impostors: Floats
    """(n,) exact search's best candidate of each non-mated probe."""
    index_impostors: Floats
    """(n,) the index's."""
    fpir: float
    """The one at which the index is gated."""

    def threshold(self, fpir: float) -> float:
        """The least threshold that at most this share of non-mates reaches."""
        return threshold_at(self.impostors, fpir)

    def missed(self, threshold: float) -> tuple[Flags, Flags]:
        """Which mated probes (p,) exact search does not accept, and which the index does not."""
        return self.exact < threshold, self.index < threshold

    def resolves(self, fpir: float) -> bool:
        """Whether so many non-mates can tell this FPIR at all: it is at least one of them."""
        return fpir * len(self.impostors) >= 1 - 1e-9


def shares_from(values: Floats, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """(t,) share of the values (n,) that reach each threshold (t,); 0 without values."""
    ordered = np.sort(values)
    reached = len(ordered) - np.searchsorted(ordered, thresholds.astype(np.float32), side="left")
    share: NDArray[np.float64] = reached / max(len(ordered), 1)
    return share
