"""A descriptor as the wire carries it: unit norm, little-endian."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matcher.errors import BadDescriptor
from matcher.messages import SDK_MAGIC

SINGLE, HALF = np.dtype("<f4"), np.dtype("<f2")

UNIT = 1e-6
"""A squared norm that differs less from 1 is left as it is; float32 rounding of 512 components is about 1e-7."""

HALF_UNIT = 1e-3
"""The same for float16: its rounding moves the squared norm of 512 components by about 3e-5."""

SURE = 1e-24, 1e24
"""Squared norms between these are right in float32; outside, components may have under- or overflowed."""


def pack(descriptor: ArrayLike | bytes, dim: int) -> bytes:
    """Bytes of a descriptor (dim,); a `dim` of 0 means that any is right.

    float16 stays float16, half the bytes for a similarity that differs by 5e-5 at most; everything else
    travels as float32.  Bytes in the SDK's container go as they are.  Raises BadDescriptor.
    """
    if isinstance(descriptor, bytes):
        return _container(descriptor, dim)
    row = np.asarray(descriptor)
    dtype = row.dtype
    if dtype != SINGLE:
        _checked(row)
    if row.ndim != 1 or len(row) != (dim or len(row)):
        raise BadDescriptor(f"expected a descriptor of {dim or 'dim'} numbers, got shape {row.shape}")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # what that makes goes the careful way
        wide = row if dtype == SINGLE else row.astype(SINGLE)
        square = float(wide.dot(wide))
    if dtype == HALF and abs(square - 1) < HALF_UNIT:
        return row.tobytes()
    if not abs(square - 1) < UNIT:
        wide = wide / np.float32(square**0.5) if SURE[0] < square < SURE[1] else _carefully(row)
    return wide.astype(HALF if dtype == HALF else SINGLE, copy=False).tobytes()


def _checked(row: NDArray[Any]) -> None:
    # A list of whole numbers is fine; bytes are quantised descriptors, whose zero and scale we do not know.
    if row.dtype.kind not in "fi" or row.dtype.itemsize == 1:
        raise BadDescriptor(f"expected floats, got {row.dtype}; turn quantised descriptors into floats first")


def _container(data: bytes, dim: int) -> bytes:
    if not data.startswith(SDK_MAGIC) or len(data) <= 8:
        raise BadDescriptor(f"expected bytes that begin with {SDK_MAGIC!r}, a version and a payload, got {data[:12]!r}")
    if len(data) - 8 != (dim or len(data) - 8):
        raise BadDescriptor(f"expected a payload of {dim} bytes, got {len(data) - 8}")
    return data


def _carefully(row: NDArray[Any]) -> NDArray[Any]:
    broken = int((~np.isfinite(row)).sum())
    if broken:
        raise BadDescriptor(f"expected numbers, got NaN or infinity in {broken} of {len(row)} components")
    wide = row.astype(np.float64)
    largest = float(np.abs(wide).max(initial=0))
    if largest == 0:
        raise BadDescriptor(f"expected a direction, got norm 0 (all {len(row)} components are 0)")
    wide /= largest
    return (wide / np.linalg.norm(wide)).astype(SINGLE)
