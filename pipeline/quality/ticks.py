"""Ticks of logarithmic axes, as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bokeh.models import CustomJSTickFormatter, FixedTicker

FEW_DECADES = 1.6
"""Decades up to which 2 and 5 are ticks as well; up to twice as many, 3 instead."""

PLAIN = CustomJSTickFormatter(
    code="return tick >= 1e4 ? tick / 1e3 + 'k' : tick >= 1e-4 ? String(parseFloat(tick.toPrecision(2))) : tick.toExponential(0)"
)


def plain_ticks(axis: Any, values: Sequence[float]) -> None:
    """Give a logarithmic axis ticks at round numbers around these values; without any above 0 it stays as it is.

    bokeh's own are powers of ten alone, or within one decade every multiple of a tenth.
    """
    if real := [value for value in values if value > 0]:
        axis.ticker = FixedTicker(ticks=round_numbers(min(real), max(real)))
        axis.formatter = PLAIN.clone()


def round_numbers(low: float, high: float) -> list[float]:
    """Ticks from the decade of `low` to that of `high`, ascending."""
    decades = math.log10(high / low)
    within = (1, 2, 5) if decades <= FEW_DECADES else (1, 3) if decades <= 2 * FEW_DECADES else (1,)
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    return [float(f"{size}e{power}") for power in powers for size in within]
