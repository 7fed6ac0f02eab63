"""What is decided about, with everything that has a say: frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.artifact import Head

Index = tuple[str, str]
"""Label and index id."""

Kind = Literal["version", "unfinished", "work", "segment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """Objects that stay or go together.  Times are seconds since 1970 by the store's clock."""

    kind: Kind
    """A `version` of a label, an `unfinished` index, the `work` folder of a build, a `segment` of a log of changes."""
    label: str
    """Empty where it cannot be told."""
    index_id: str
    """Of the index, or of the build whose work it is."""
    prefix: str
    """Where its objects lie."""
    keys: tuple[str, ...] = field(repr=False)
    nbytes: int
    newest: float
    """When the last of its objects was written."""
    created: float = 0.0
    """Of a version: when its build began, as its manifest says, or when it was published."""
    published: float = 0.0
    """Of a version: when its manifest was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is true at the time of the decision."""

    now: float
    """By the store's clock."""
    heads: Mapping[str, Head | None]
    """By label; None where a head cannot be read."""
    used: Mapping[Index, tuple[str, ...]]
    """Matchers that hold or load an index."""
    asked: Mapping[str, str]
    """Where requests for a label go."""
    open_tasks: Mapping[str, str]
    """Status of the tasks that wait or run, by id, which is the index id of their build."""
    keep: int
    keep_s: float
    orphan_s: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to a thing, with the reason."""

    thing: Thing
    goes: bool
    why: str

    def to_json(self) -> dict[str, Any]:
        """JSON fields."""
        thing = self.thing
        return {
            "kind": thing.kind, "label": thing.label, "index_id": thing.index_id, "prefix": thing.prefix,
            "objects": len(thing.keys), "nbytes": thing.nbytes, "removed": self.goes, "why": self.why,
        }  # fmt: skip
