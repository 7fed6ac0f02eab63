"""Which candidate is published, at which operating point, with the reason."""

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
    """Whether it is published although it missed the target; says the order of the run that reads it."""
    resolvable: bool
    """False when it did not pass because too few probes can neither prove nor disprove the target."""
    reason: str
    """The verdict in one sentence."""
    quality: dict[str, Any]
    """Figures on the gating half, as the manifest carries them."""
    intervals: dict[str, list[float]]
    """Two-sided intervals of those figures."""
    curve: list[dict[str, Any]]
    """Every measured operating point on the choosing half, with why it was not chosen."""

    @property
    def refused(self) -> bool:
        """Whether it must not be published unless that is forced."""
        return not self.passed and self.resolvable

    def to_json(self) -> dict[str, Any]:
        """JSON fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Decision:
        """Read what `to_json` wrote."""
        return cls(**{**data, "point": Point(**data["point"])})
