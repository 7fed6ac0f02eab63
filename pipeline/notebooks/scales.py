"""Maps figures to places on an axis, with its ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MARGIN = 0.05
"""Share of the axis that stays free at each end."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear or logarithmic axis from `low` to `high`."""

    low: float
    high: float
    is_log: bool

    @classmethod
    def over(cls, values: Sequence[float], *, is_log: bool) -> Scale:
        """An axis with room for these values; a logarithmic one leaves out what is not above 0, and spans a decade at least."""
        real = [value for value in values if math.isfinite(value) and (value > 0 or not is_log)]
        if not real:
            return cls(0.1, 1.0, is_log) if is_log else cls(0.0, 1.0, is_log)
        low, high = (math.log10(end) if is_log else end for end in (min(real), max(real)))
        least = 1.0 if is_log else 0.0 if low < high else 2 * MARGIN * abs(high) or 2.0
        room = max((high - low) * MARGIN, (least - high + low) / 2)
        low, high = low - room, high + room
        return cls(10**low, 10**high, is_log) if is_log else cls(low, high, is_log)

    def at(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high one; not a number where it has no place."""
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low) if value > 0 else math.nan
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values on the axis, some three to ten of them."""
        return self._decades() if self.is_log else self._steps()

    def _steps(self) -> list[float]:
        rough = (self.high - self.low) / 6
        power = 10 ** math.floor(math.log10(rough))
        step = next(power * size for size in (1, 2, 5, 10) if power * size >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def _decades(self) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        span = math.log10(self.high / self.low)
        every, within = 1 + int(span // 8), (1, 2, 5) if span < 3.5 else (1,)
        found = [10.0**power * size for power in range(first, last + 1, every) for size in within]
        return [value for value in found if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)]


def named(value: float) -> str:
    """A tick as text: 0.003, 250, 12k, 3M, 1e-5."""
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1e-4:
        return f"{value:.0e}".replace("e-0", "e-")
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if size >= 10 * unit or (unit == 1e6 and size >= unit):
            return f"{value / unit:.4g}{letter}"
    return f"{value:.4g}"
