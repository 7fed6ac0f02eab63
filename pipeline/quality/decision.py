"""Which candidate is published, at which operating point, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pipeline.artifact import Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The outcome of evaluate."""

    name: str
    recipe: str
    point: Point
    passed: bool
    forced: bool
    resolvable: bool
    """Whether the list gives enough mated probes to prove the target."""
    reason: str
    """The verdict in one sentence."""
    quality: dict[str, Any]
    """Figures on the gating half."""
    curve: list[dict[str, Any]]
    """Every measured operating point on the choosing half, with why it was not chosen."""

    def to_json(self) -> dict[str, Any]:
        """JSON fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Decision:
        """Read what `to_json` wrote."""
        return cls(**{**data, "point": Point(**data["point"])})
