"""Unit norm for raw vectors, with a reason for each that cannot have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 256
"""Rows at a time: 512 kB of float32 at 512 dimensions, which stays in a core's cache."""

SURE = np.float32(1e-24), np.float32(1e24)
"""Squared norms between these are right in float32; outside, components may have under- or overflowed."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How integers become numbers: `(x - zero) * scale`; floats are taken as they are."""

    scale: float
    zero: float


def normalise(raw: NDArray[Any], scale: Scale, out: NDArray[Any]) -> dict[int, str]:
    """Write the rows of `raw` (n, dim) with unit norm into `out` (n, dim) of any float type.

    Norms are taken in float32, and in float64 where float32 would lose them.  Returns the
    reasons of the rows that have no direction, by position; their rows in `out` mean nothing.
    """
    bad: dict[int, str] = {}
    block = np.empty((min(BLOCK, len(raw)), raw.shape[1]), np.float32)
    for start in range(0, len(raw), BLOCK):
        part = raw[start : start + BLOCK]
        rows = block[: len(part)]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
            _floats(part, scale, rows)
            squares = np.einsum("ij,ij->i", rows, rows)
            rows /= np.sqrt(squares)[:, None]
            out[start : start + BLOCK] = rows
        for number in np.flatnonzero(~((squares > SURE[0]) & (squares < SURE[1]))).tolist():
            row, reason = _carefully(part[number], scale)
            if reason:
                bad[start + number] = reason
            else:
                out[start + number] = row
    return bad


def _floats(raw: NDArray[Any], scale: Scale, out: NDArray[Any]) -> None:
    np.copyto(out, raw, casting="unsafe")
    if raw.dtype.kind in "iu":
        out -= scale.zero
        out *= scale.scale


def _carefully(raw: NDArray[Any], scale: Scale) -> tuple[NDArray[np.float64], str]:
    row = np.empty(len(raw), np.float64)
    _floats(raw, scale, row)
    broken = int((~np.isfinite(row)).sum())
    if broken:
        return row, f"expected numbers, got NaN or infinity in {broken} of {len(row)} components"
    largest = float(np.abs(row).max(initial=0))
    if largest == 0:
        return row, f"expected a direction, got norm 0 (all {len(row)} components are 0)"
    row /= largest
    return row / np.linalg.norm(row), ""
