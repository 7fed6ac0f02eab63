"""Probes with the answers of exact search: what every candidate is compared with."""

from __future__ import annotations

import io

import numpy as np

from pipeline.errors import BuildError
from pipeline.quality.arrays import Numbers
from pipeline.quality.figures import Figures, Lists, compare, mates_in, threshold_at
from pipeline.quality.making import gallery_people
from pipeline.quality.probes import ProbeSet
from pipeline.quality.truth import candidates, depth_for, merged
from pipeline.workspace import Work


class Trial:
    """Read once per task; `part` arguments are positions of probes."""

    def __init__(self, work: Work) -> None:
        self.quality = work.spec.quality
        self.probes = ProbeSet.from_bytes(work.read("probes.npz"))
        self.people = gallery_people(work)
        self.depth = depth_for(self.probes, self.people, self.quality.k)
        self._exact = self._merged(work)
        others = self.probes.part(mated=False)
        self.threshold = threshold_at(self.exact(others)[0][:, 0], self.quality.fpir)

    def _merged(self, work: Work) -> Lists:
        total: Lists | None = None
        for key in work.keys("truth/"):
            with np.load(io.BytesIO(work.read(key))) as arrays:
                found = arrays["similarities"], arrays["numbers"]
            total = merged(total, found, self.depth) if total else found
        if total is None:
            raise BuildError("truth: expected the answers of exact search, got none; was the work folder changed?")
        return total

    def exact(self, part: Numbers) -> Lists:
        """The k best rows of exact search for these probes."""
        found = self._exact[0][part], self._exact[1][part]
        return candidates(found, self.probes, part, self.people, self.quality.k)

    def index(self, found: Lists, part: Numbers) -> Lists:
        """The k best of an index's answers (p, any depth) to these probes."""
        return candidates(found, self.probes, part, self.people, self.quality.k)

    def figures(self, part: Numbers, index: Lists | None = None) -> Figures:
        """Figures of candidate lists; without any, of exact search itself."""
        exact = self.exact(part)
        mine = exact if index is None else index
        sides = [(lists, mates_in(lists, self.probes, part, self.people)) for lists in (exact, mine)]
        return compare(sides[0], sides[1], self.threshold, self.quality.confidence)
