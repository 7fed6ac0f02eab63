"""What a file format has to offer, with the table of the formats that are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from configs.settings import Source
from pipeline.sources.errors import SourceMismatch
from pipeline.sources.names import Names
from pipeline.sources.places import Found, Place

BATCH = 8_192
"""Rows that are in memory raw at one time."""

FLOATS = tuple(np.dtype(name) for name in ("float16", "float32", "float64"))
INTEGERS = (np.dtype("uint8"), np.dtype("int8"))


@dataclass(frozen=True, slots=True)
class Head:
    """What a file says about itself without its data."""

    rows: int
    dim: int
    dtype: str
    """Type of the components: `float16`, `uint8`, …"""
    ids_kind: str
    """`int`, `uuid`, `str`, or `row` when it has no ids."""
    has_people: bool
    descriptor_version: str = ""


@dataclass(frozen=True, slots=True)
class Raw:
    """Some rows as they are in the file."""

    vectors: NDArray[Any]
    """(n, dim) of any supported dtype; rows named in `bad` mean nothing."""
    ids: Names | None
    """None when the file has no ids."""
    people: list[str] | None
    bad: dict[int, str] = field(default_factory=dict)
    """Reasons, by position, of rows that have no vector of the right form."""


class Format(Protocol):
    """One file format.  Every method raises SourceError for a file that it cannot read."""

    def head(self, place: Place, file: Found, columns: Source) -> Head:
        """Rows, dimension and columns, from headers and footers alone."""
        ...

    def read(self, place: Place, columns: Source, rows: range, dim: int) -> Iterator[Raw]:
        """Rows of the file in order, at most BATCH at a time; `dim` decides which row is of the right form."""
        ...


def checked(dtype: np.dtype[Any], columns: Source, what: str) -> np.dtype[Any]:
    """The dtype of vectors, in native byte order or not; raises SourceMismatch for one that cannot be read."""
    native = dtype.newbyteorder("=")
    if native not in FLOATS and native not in INTEGERS:
        raise SourceMismatch(f"{what}: expected float16, float32, float64, uint8 or int8 descriptors, got {dtype}")
    if native in INTEGERS and not columns.scale:
        raise SourceMismatch(
            f"{what}: {native} descriptors need source.scale and source.zero (descriptor = (x - zero) * scale), "
            f"got scale {columns.scale}; for symmetric ones set source.scale=1 and source.zero=128 (uint8) or 0 (int8)"
        )
    return dtype


def is_default(columns: Source, name: str) -> bool:
    """Whether nobody named this column, so that a file may lack it."""
    return bool(getattr(columns, name) == getattr(Source(), name))
