"""What was found out about an engine in a regime."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from manager.bench.peers.engine import BATCH, Knobs
from manager.bench.peers.memory import Memory
from pipeline.quality.figures import Figures

DID_NOT_FINISH = "did not finish"


@dataclass(slots=True)
class Tried:
    """An operating point on the choosing half."""

    point: Knobs
    figures: Figures
    """Of as many probes as were needed to see that it cannot pass; of all that there are otherwise."""
    seconds: float

    @property
    def qps(self) -> float:
        """Queries a second while it was measured."""
        return self.figures.probes / max(self.seconds, 1e-9)

    @property
    def label(self) -> str:
        """For people."""
        return spelled(self.point)


@dataclass(slots=True)
class Judged:
    """The chosen point on the gating half."""

    point: Knobs
    figures: Figures
    passed: bool
    resolvable: bool
    """Whether there are probes enough to tell."""
    reason: str
    """Why no other was taken, or why it did not pass."""


@dataclass(slots=True)
class Result:
    """One engine in one regime."""

    regime: str
    engine: str
    rows: int
    status: str = ""
    """`ok`, `did not finish`, or why there are no figures."""
    recipe: str = ""
    build: dict[str, float] = field(default_factory=dict)
    from_earlier: bool = False
    """Whether the build's time is of an earlier run, whose index was taken."""
    memory: Memory | None = None
    tried: list[Tried] = field(default_factory=list)
    judged: Judged | None = None
    rates: list[float] = field(default_factory=list)
    """Queries a second of the chosen point, one per interleaved round."""
    qps: float | None = None
    ratio: float | None = None
    """Median over the rounds of our rate by this one."""

    def entries(self) -> Iterator[dict[str, Any]]:
        """Every measured point; exactly one is marked `chosen`, without figures where there are none."""
        if self.judged is None:
            yield self._entry(None, None) | {"chosen": True}
            return
        chosen = self.judged
        yield self._entry(chosen.point, chosen.figures) | {
            "chosen": True, "half": "gating", "qps": self.qps, "qps_rounds": self.rates, "ours_by_this": self.ratio,
            "passed": chosen.passed, "resolvable": chosen.resolvable, "reason": chosen.reason,
        }  # fmt: skip
        for one in self.tried:
            yield self._entry(one.point, one.figures) | {"half": "choosing", "qps": one.qps, "seconds": one.seconds}

    def _entry(self, point: Knobs | None, figures: Figures | None) -> dict[str, Any]:
        known = figures.to_json() if figures is not None else {"added_fnir": None, "recall_at_10": None}
        return {
            "regime": self.regime, "engine": self.engine, "recipe": self.recipe, "rows": self.rows, **known,
            "qps": None, "batch": (point or {}).get("batch", BATCH), "build_s": self.build.get("build_s"),
            "build_from_earlier_run": self.from_earlier, "build": self.build,
            "bytes_per_vector": self._per_vector("anonymous"),
            "mapped_bytes_per_vector": self._per_vector("mapped"),
            "point": point, "status": self.status, "chosen": False,
        }  # fmt: skip

    def _per_vector(self, kind: str) -> float | None:
        return None if self.memory is None else float(getattr(self.memory, kind)) / self.rows


def spelled(point: Knobs) -> str:
    """An operating point for people."""
    return ", ".join(f"{name} {value}" for name, value in point.items()) or "its only point"
