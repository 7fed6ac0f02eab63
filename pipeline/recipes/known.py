"""The recipes by name, with what a candidate's own one says of it."""

from __future__ import annotations

from dataclasses import replace

from pipeline.artifact import Memory, Point
from pipeline.recipes.candidate import Candidate
from pipeline.recipes.cells import Cells
from pipeline.recipes.exact import Exact
from pipeline.recipes.ivfpq import IvfPq
from pipeline.recipes.recipe import Recipe
from pipeline.recipes.scan import Scan

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (Exact(), Scan(), Cells(), IvfPq())}


def recipe_of(candidate: Candidate) -> Recipe:
    """The recipe of a candidate."""
    return RECIPES[candidate.recipe]


def cost(candidate: Candidate, point: Point) -> float:
    """Predicted microseconds of one core per request in batches of 256, all shards together; the same on every machine."""
    return candidate.shards * recipe_of(candidate).cost(shard_of(candidate), point)


def alone_ms(candidate: Candidate, point: Point) -> float:
    """Predicted milliseconds of the search of one request alone; shards search at the same time."""
    return recipe_of(candidate).alone(shard_of(candidate), point) / 1000


def memory(candidate: Candidate) -> Memory:
    """Predicted bytes of a loaded index of one shard: in memory of its own, and mapped from files."""
    return recipe_of(candidate).memory(candidate)


def shard_of(candidate: Candidate, rows: int | None = None) -> Candidate:
    """The candidate as a list of the rows of one of its shards: of the largest, or of so many."""
    held = -(-candidate.rows // candidate.shards) if rows is None else rows
    return replace(candidate, rows=held, shards=1)
