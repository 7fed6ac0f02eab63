"""A recipe with its parameters, for one list: what is trained, assembled, measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.artifact import Point


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
    latency_ms: float = 0.0
    """Milliseconds that the search of one request alone may take; 0 = no limit."""
    assignments: int = 1
    """Cells that a row is put into."""
    shards: int = 0
    """Shards that are wanted; 0 = as few as `shard_bytes` allows."""
    shard_bytes: int = 0
    """Bytes of memory that a loaded shard may take; 0 = no limit."""
    partition_rows: int = 1
    """Rows of a task: no shard is smaller, unless so many are wanted."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A recipe with its parameters and the operating points at which it is measured."""

    name: str
    recipe: str
    rows: int
    dim: int
    parameters: dict[str, Any]
    points: tuple[Point, ...]
    shards: int = 1
    """Parts of about the same number of rows, each with the same model."""

    def to_json(self) -> dict[str, Any]:
        """JSON fields."""
        points = [[point.nprobe, point.rerank] for point in self.points]
        return {
            "name": self.name, "recipe": self.recipe, "rows": self.rows, "dim": self.dim,
            "parameters": self.parameters, "points": points, "shards": self.shards,
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Candidate:
        """The candidate that `to_json` wrote."""
        return cls(**{**data, "points": tuple(Point(*point) for point in data["points"])})
