"""What a stage asks of workers, whatever their speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Items that may run at the same time, all alike; a stage is one step or several."""

    items: int
    peak: int = 0
    """Bytes that one item holds at its fullest, beside what its process takes anyway."""
    read: int = 0
    """Bytes that one item reads from the bucket."""
    written: int = 0
    """Bytes that one item writes to it."""
    requests: int = 2
    """Objects that one item reads, writes."""
    work: Mapping[str, float] = field(default_factory=dict)
    """What one item computes: units of kinds of `Rates`."""
    mapped: int = 0
    """Bytes of files that an item maps beside `peak`: resident, but the kernel's to drop."""
    beside: bool = False
    """Whether its items run at the same time as those of the step before, not after them."""
    times: int = 1
    """How often the step is done, each time after all of its items are done."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A stage."""

    stage: str
    steps: tuple[Step, ...]

    @property
    def items(self) -> int:
        """Items of all steps."""
        return sum(step.items * step.times for step in self.steps)

    @property
    def peak(self) -> int:
        """Bytes that the largest item holds."""
        return max((step.peak for step in self.steps), default=0)

    @property
    def resident(self) -> int:
        """The same with the files that it maps."""
        return max((step.peak + step.mapped for step in self.steps), default=0)

    @property
    def read(self) -> int:
        """Bytes that all items read."""
        return sum(step.items * step.times * step.read for step in self.steps)

    @property
    def written(self) -> int:
        """Bytes that all items write."""
        return sum(step.items * step.times * step.written for step in self.steps)
