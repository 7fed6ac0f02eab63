"""What recipes of product codes share: scan, cells, ivfpq."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Memory, Point
from pipeline.errors import BuildError
from pipeline.recipes import costs
from pipeline.recipes.candidate import Candidate, Facts
from pipeline.recipes.models import Cells, Codes, Model, Stored, encoded_key
from pipeline.recipes.recipe import Recipe
from pipeline.search.assembly import Model as Trained
from pipeline.search.assembly import coded_file
from pipeline.sharding import Extent, pieces
from pipeline.workspace import Work

ROW_BYTES = {"int8": 1, "float16": 2, "float32": 4}
"""Bytes of a component of the vectors that re-rank."""


class Coded(Recipe):
    """Codes in memory, the best of them re-ranked by mapped vectors."""

    @abstractmethod
    def searched(self, candidate: Candidate, point: Point) -> tuple[float, float]:
        """Rows whose codes are read, and microseconds to choose them."""

    def cost(self, candidate: Candidate, point: Point) -> float:
        """See `Recipe.cost`."""
        its = candidate.parameters
        rows, choosing = self.searched(candidate, point)
        return self._beside(candidate, point) + choosing + costs.codes(rows, its["code_bytes"], bits=its["bits"])

    def alone(self, candidate: Candidate, point: Point) -> float:
        """See `Recipe.alone`."""
        rows, choosing = self.searched(candidate, point)
        reading = costs.codes_alone(rows, candidate.parameters["code_bytes"])
        return self._beside(candidate, point) + choosing + reading

    def memory(self, candidate: Candidate) -> Memory:
        """See `Recipe.memory`."""
        its, rows = candidate.parameters, candidate.rows
        entries = rows * its.get("assignments", 1)  # of the inverted lists: a code and an internal number each
        code, out = its["code_bytes"], its["out"]
        # of a cell the centroid, and codes in blocks of 32 rows whose room is a power of two: measured, 64 codes for nothing
        models = out * candidate.dim * 4 + its.get("nlist", 1) * (out * 4 + 64 * code + 64) + out * 64
        return Memory(anonymous=entries * (code + 8) + models, mapped=rows * (its["row_bytes"] + 16))

    def models(self, candidate: Candidate) -> Sequence[Model]:
        """Cells where there are any, codes, stored rows."""
        its = candidate.parameters
        found: list[Model] = [_codes(its), Stored(its["rerank"])]
        return [cells_of(its), *found] if "nlist" in its else found

    def index_file(self, work: Work, candidate: Candidate, extent: Extent) -> Iterator[memoryview]:
        """One faiss file, made whole: twice the shard's codes are in memory."""
        its = candidate.parameters
        codes = _codes(its)
        transform = codes.transform(work)
        centroids, cells = np.zeros((1, its["out"]), np.float32), None
        if "nlist" in its:
            coarse = cells_of(its)
            centroids = coarse.centroids(work)[:, transform.order]
            cells = _gathered(work, coarse, extent)
        model = Trained(transform.matrix, codes.codebook(work), centroids)
        yield from coded_file(model, cells, _gathered(work, codes, extent))

    def _beside(self, candidate: Candidate, point: Point) -> float:
        its = candidate.parameters
        fixed = costs.REQUEST + costs.projection(candidate.dim, its["out"])
        return fixed + costs.reranking(point.rerank * its.get("assignments", 1), its["row_bytes"])


def _gathered(work: Work, model: Model, extent: Extent) -> NDArray[Any]:
    """What the model made of the rows of a shard, (n, …), a partition at a time."""
    found: NDArray[Any] | None = None
    for piece in pieces(work.census()["kept"], extent):
        made = work.load(encoded_key(model, piece.partition))
        if found is None:
            found = np.empty((extent.rows, *made.shape[1:]), made.dtype)
        found[piece.place] = made[piece.rows]
    if found is None:
        raise BuildError(f"shard {extent.shard}: expected rows {extent.first} to {extent.stop}, got none")
    return found


def code_parameters(facts: Facts, codes: Codes) -> dict[str, Any]:
    """Parameters of a candidate, as the manifest carries them."""
    return asdict(codes) | {
        "code_bytes": -(-codes.groups * codes.bits // 8),
        "rerank": facts.rerank,
        "row_bytes": ROW_BYTES[facts.rerank] * facts.dim,
    }


def cells_of(parameters: dict[str, Any]) -> Cells:
    """The cells of a candidate that has any."""
    return Cells(parameters["out"], parameters["nlist"], parameters.get("assignments", 1))


def _codes(parameters: dict[str, Any]) -> Codes:
    return Codes(parameters["out"], parameters["groups"], parameters["bits"])
