"""Names of made-up photos, of made-up people."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HEX = np.frombuffer(b"".join(b"%02x" % value for value in range(256)), np.uint8).reshape(256, 2)
GROUPS = (4, 2, 2, 2, 6)
"""Bytes between the dashes of a UUID."""


def uuids(data: NDArray[np.uint8]) -> list[str]:
    """UUIDs of version 8 (RFC 9562: bits by an own rule) from (n, 16) bytes."""
    data = data.copy()
    data[:, 6] = data[:, 6] & 0x0F | 0x80
    data[:, 8] = data[:, 8] & 0x3F | 0x80
    text = np.full((len(data), 36), ord("-"), np.uint8)
    start = position = 0
    for count in GROUPS:
        digits = HEX[data[:, start : start + count]].reshape(len(data), 2 * count)
        text[:, position : position + 2 * count] = digits
        start, position = start + count, position + 2 * count + 1
    return _strings(text)


def people_labels(numbers: NDArray[np.integer[Any]]) -> list[str]:
    """`p000000042` for 42; more digits from 10**9 on."""
    return [f"p{number:09d}" for number in numbers.tolist()]


def _strings(text: NDArray[np.uint8]) -> list[str]:
    width = text.shape[1]
    whole = text.tobytes().decode("ascii")
    return [whole[start : start + width] for start in range(0, len(whole), width)]
