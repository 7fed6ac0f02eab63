"""Which recipes to try for a list: rows, dimensions and limits in, candidates out; no effects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pipeline.artifact import Memory, Point
from pipeline.errors import PlanImpossible

ENERGY = 0.995
"""Share of the energy that a dimension reduction must keep to be proposed; its loss is part of added FNIR."""

CELLS_FROM = 50_000
"""Rows from which cells are proposed; below, a scan of everything takes less than choosing cells."""

EXACT_ONLY_BELOW = 5_000
"""Rows below which nothing but exact search is proposed: it takes under 0.1 ms."""

EXACT_BUILT_UP_TO = 50_000
"""Rows up to which the exact candidate is assembled beside the others, and so measured."""

# Predicted microseconds of one core in batches of 256, fitted on an AVX-512 server at 200,000 x 512.
# Constants, not what a build measures: a build that is run again, or elsewhere, must decide the same.
EXACT_PER_VALUE = 1.5e-5
SCAN_PER_BYTE = 1.6e-5
CELLS_PER_BYTE = 2.6e-5
PER_PROBE = 0.15
PER_DEPTH = 0.15
RERANK_PER_BYTE = 1.0e-4
PER_PROJECTED_VALUE = 2.0e-5
PER_REQUEST = 4.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A recipe with its parameters and the operating points at which it is measured."""

    name: str
    recipe: str
    rows: int
    dim: int
    parameters: dict[str, Any]
    points: tuple[Point, ...]

    def cost(self, point: Point) -> float:
        """Predicted microseconds of one core per request in batches of 256; the same on every machine."""
        if self.recipe == "exact":
            return PER_REQUEST + self.rows * self.dim * EXACT_PER_VALUE
        out, code, row = (self.parameters[name] for name in ("out", "code_bytes", "row_bytes"))
        fixed = PER_REQUEST + self.dim * out * PER_PROJECTED_VALUE
        fixed += point.rerank * (PER_DEPTH + row * RERANK_PER_BYTE)
        if self.recipe == "scan":
            return float(fixed + self.rows * code * SCAN_PER_BYTE)
        cells = self.parameters["nlist"]
        probing = cells * out * PER_PROJECTED_VALUE + point.nprobe * PER_PROBE
        return float(fixed + probing + self.rows * point.nprobe / cells * code * CELLS_PER_BYTE)

    def memory(self) -> Memory:
        """Predicted bytes of a loaded index: in memory of its own, and mapped from files."""
        names = 8 * self.rows  # internal numbers in the inverted lists; ids themselves are mapped
        if self.recipe == "exact":
            return Memory(anonymous=self.rows * self.dim * 4, mapped=16 * self.rows)
        code, row, out = (self.parameters[name] for name in ("code_bytes", "row_bytes", "out"))
        models = out * self.dim * 4 + self.parameters.get("nlist", 1) * (out + 32 * code) * 4 + out * 64
        return Memory(anonymous=self.rows * code + names + models, mapped=self.rows * (row + 16))

    def to_json(self) -> dict[str, Any]:
        """JSON fields."""
        points = [[point.nprobe, point.rerank] for point in self.points]
        return {
            "name": self.name,
            "recipe": self.recipe,
            "rows": self.rows,
            "dim": self.dim,
            "parameters": self.parameters,
            "points": points,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Candidate:
        """The candidate that `to_json` wrote."""
        return cls(**{**data, "points": tuple(Point(*point) for point in data["points"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a plan is made from."""

    rows: int
    dim: int
    out: int
    """Dimensions kept after the projection."""
    recipe: str
    """`auto` or the one that is wanted."""
    rerank: str
    device: str
    memory_limit: int
    """Bytes a loaded index may take; 0 = no limit."""


def propose(facts: Facts) -> tuple[Candidate, ...]:
    """Candidates for a list, those wanted only; raises PlanImpossible when none fits into the memory limit."""
    makers = {"exact": _exact, "scan": _scan, "cells": _cells, "ivfpq": _ivfpq}
    if facts.recipe == "auto":
        coded = facts.rows >= EXACT_ONLY_BELOW
        names = ["exact"] + ["scan"] * coded + ["cells"] * (facts.rows >= CELLS_FROM)
        names += ["ivfpq"] * (coded and facts.device == "gpu")
    else:
        names = [facts.recipe]
    wanted = [makers[name](facts) for name in names]
    fitting = [one for one in wanted if not facts.memory_limit or one.memory().anonymous <= facts.memory_limit]
    if not fitting:
        least = min(wanted, key=lambda one: one.memory().anonymous)
        raise PlanImpossible(
            f"build.memory_limit_bytes: {facts.rows} rows of {facts.dim} need at least {least.memory().anonymous:,} bytes "
            f"({least.name}), allowed are {facts.memory_limit:,}: raise the limit"
            + (", or let build.recipe be 'auto'" if facts.recipe == "exact" else "")
        )
    return tuple(fitting)


def _exact(facts: Facts) -> Candidate:
    return Candidate("exact", "exact", facts.rows, facts.dim, {}, (Point(0, 0),))


def _codes(facts: Facts, bits: int, groups: int) -> dict[str, Any]:
    width = {"int8": 1, "float16": 2, "float32": 4}[facts.rerank]
    return {
        "out": facts.out,
        "groups": groups,
        "bits": bits,
        "code_bytes": groups * bits // 8,
        "rerank": facts.rerank,
        "row_bytes": width * facts.dim,
    }


def _scan(facts: Facts) -> Candidate:
    points = tuple(Point(1, depth) for depth in (80, 160, 320, 640))
    return Candidate("scan", "scan", facts.rows, facts.dim, _codes(facts, 4, facts.out // 2), points)


def cell_count(rows: int) -> int:
    """About 2.5 cells per root of the rows, a power of two: 1,024 at 200,000 rows."""
    return 1 << max(4, int(2.5 * math.sqrt(rows)).bit_length() - 1)


def _cells(facts: Facts) -> Candidate:
    cells = cell_count(facts.rows)
    probes = [cells // share for share in (16, 8, 4, 2, 1)]
    points = tuple(Point(probe, depth) for probe in probes for depth in (80, 160))
    parameters = _codes(facts, 4, facts.out // 2) | {"nlist": cells}
    return Candidate("cells", "cells", facts.rows, facts.dim, parameters, points)


GPU_GROUPS = (96, 64, 56, 48, 40, 32, 28, 24, 20, 16, 12, 8, 4, 3, 2, 1)
"""Code bytes that the classic GPU IVF-PQ accepts."""


def _ivfpq(facts: Facts) -> Candidate:
    cells = cell_count(facts.rows)
    groups = next(size for size in GPU_GROUPS if facts.out % size == 0)
    points = tuple(Point(min(cells // share, 2048), depth) for share in (16, 8, 4) for depth in (160, 320))
    parameters = _codes(facts, 8, groups) | {"nlist": cells}
    return Candidate("ivfpq", "ivfpq", facts.rows, facts.dim, parameters, points)
