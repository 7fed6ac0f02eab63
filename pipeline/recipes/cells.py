"""Codes of the probed cells are compared: good for look-alike families, bad for mates in far cells."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.artifact import Point
from pipeline.clustering.sizes import cell_count
from pipeline.recipes import costs
from pipeline.recipes.candidate import Candidate, Facts
from pipeline.recipes.coded import Coded, code_parameters
from pipeline.recipes.ladder import ladder
from pipeline.recipes.models import Codes

SHARES = (32, 16, 8, 4, 2)
"""One of so many cells is probed."""

DEPTHS = (80, 160)


class Cells(Coded):
    """The codes of the scan in an inverted file; by setting, each row in two cells."""

    name = "cells"

    def candidates(self, facts: Facts) -> Sequence[Candidate]:
        """One for each size of codes over all kept dimensions, which is what cells are made of."""
        cells = cell_count(facts.rows)
        probes = [max(cells // share, 1) for share in SHARES]
        if facts.recipe == self.name:
            probes.append(cells)  # where the scan is proposed as well, it does the same for less
        points = tuple(Point(probe, depth) for probe in probes for depth in DEPTHS)
        return [self._of(facts, suffix, codes, points) for suffix, codes in ladder(facts) if codes.out == facts.out]

    def _of(self, facts: Facts, suffix: str, codes: Codes, points: tuple[Point, ...]) -> Candidate:
        parameters = code_parameters(facts, codes) | {"nlist": cell_count(facts.rows)}
        if facts.assignments > 1:
            parameters["assignments"] = facts.assignments
        return Candidate(self.name + suffix, self.name, facts.rows, facts.dim, parameters, points)

    def searched(self, candidate: Candidate, point: Point) -> tuple[float, float]:
        """The probed share of the rows."""
        return probed(candidate, point)


def probed(candidate: Candidate, point: Point) -> tuple[float, float]:
    """Rows in the probed cells if all are of one size, and microseconds to find those cells."""
    its = candidate.parameters
    cells, entries = its["nlist"], candidate.rows * its.get("assignments", 1)
    return entries * point.nprobe / cells, costs.probing(cells, its["out"], point.nprobe)
