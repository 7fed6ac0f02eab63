"""Codes of every row are compared: nothing can hide in a cell that was not probed."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.artifact import Point
from pipeline.recipes.candidate import Candidate, Facts
from pipeline.recipes.coded import Coded, code_parameters
from pipeline.recipes.ladder import ladder

DEPTHS = (40, 80, 160, 320, 640)


class Scan(Coded):
    """4-bit fast-scan codes in one cell."""

    name = "scan"

    def candidates(self, facts: Facts) -> Sequence[Candidate]:
        """One for each size of codes."""
        points = tuple(Point(1, depth) for depth in DEPTHS)
        return [
            Candidate(self.name + suffix, self.name, facts.rows, facts.dim, code_parameters(facts, codes), points)
            for suffix, codes in ladder(facts)
        ]

    def searched(self, candidate: Candidate, point: Point) -> tuple[float, float]:
        """Everything, without a choice."""
        return candidate.rows, 0.0
