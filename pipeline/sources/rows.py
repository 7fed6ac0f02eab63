"""The vocabulary of sources: what is listed, how it is cut, what reading gives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray


class Piece(NamedTuple):
    """Rows [start, stop) of one file; `token` is the state of the file that was listed."""

    url: str
    start: int
    stop: int
    token: str


@dataclass(frozen=True, slots=True)
class Range:
    """Rows [start, stop) of the whole source, as pieces of its files.  Plain data: survives JSON through `asdict`."""

    start: int
    stop: int
    dim: int
    pieces: tuple[Piece, ...]

    def __post_init__(self) -> None:
        """Take pieces as they come out of JSON, too."""
        object.__setattr__(self, "pieces", tuple(Piece(*piece) for piece in self.pieces))

    @property
    def first_row(self) -> int:
        """Number of the first row in the whole source."""
        return self.start


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that does not go into the index.  `asdict` gives its stable form: row, id, reason."""

    row: int
    """Number of the row in the whole source, from 0."""
    id: str
    """The id as text; empty where the row has none."""
    reason: str
    """What was expected, with the figures."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What reading a range gives: the rows kept, in order, with the rejected ones beside them."""

    descriptors: NDArray[Any]
    """(n, dim) float16, or float32 by setting, of unit norm; normalised in float32 before rounding."""
    ids: list[str | int | UUID]
    people: list[str] | None
    """Person of each row, "" where unknown; None when the source names no people."""
    rejects: tuple[Reject, ...]


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file as it was listed."""

    url: str
    nbytes: int
    token: str
    """ETag or modification time: changes when the file does."""
    rows: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source holds, known without reading the descriptors."""

    rows: int
    dim: int
    ids_kind: str
    """`int`, `uuid`, `str`, or `row` when rows are known by their number."""
    has_people: bool
    files: tuple[InputFile, ...]
    fingerprint: str
    """sha256 over the files' names, sizes and tokens with the settings that change what rows mean."""
    descriptor_version: str
    """Empty when the source does not say which model made its descriptors."""


class Source(Protocol):
    """Where descriptors come from.  Picklable, without secrets: tasks on other machines read from it."""

    def listing(self) -> Listing:
        """What is there; raises SourceError when there is nothing or the files do not fit together."""
        ...

    def partitions(self, partition_rows: int) -> list[Range]:
        """Ranges of at most `partition_rows` rows that cover the source once, in order."""
        ...

    def read(self, part: Range) -> Rows:
        """The rows of a range; raises SourceError, SourceChanged among them."""
        ...


def cut(files: Sequence[InputFile], partition_rows: int, dim: int) -> list[Range]:
    """Ranges of `partition_rows` rows (the last may be shorter) over files laid end to end; pure."""
    ends = list(accumulate(file.rows for file in files))
    total = ends[-1] if ends else 0
    ranges = []
    first = 0
    for start in range(0, total, partition_rows):
        stop = min(start + partition_rows, total)
        while ends[first] <= start:
            first += 1
        pieces = []
        for number in range(first, len(files)):
            begin = ends[number] - files[number].rows
            if begin >= stop:
                break
            if files[number].rows:
                inside = max(start, begin) - begin, min(stop, ends[number]) - begin
                pieces.append(Piece(files[number].url, *inside, files[number].token))
        ranges.append(Range(start, stop, dim, tuple(pieces)))
    return ranges


def joined(parts: Iterable[Rows], dim: int, descriptors: NDArray[Any] | None = None) -> Rows:
    """Rows one after the other; `descriptors` (n, dim) are all of theirs where they lie together already."""
    parts = list(parts)
    people = [part.people for part in parts if part.people is not None]
    if descriptors is None:
        descriptors = np.concatenate([part.descriptors for part in parts]) if parts else np.empty((0, dim), np.float16)
    return Rows(
        descriptors,
        list(chain.from_iterable(part.ids for part in parts)),
        list(chain.from_iterable(people)) if people else None,
        tuple(chain.from_iterable(part.rejects for part in parts)),
    )


def fingerprint(files: Iterable[InputFile], meaning: dict[str, Any]) -> str:
    """sha256 over names, sizes and tokens of the files with the settings in `meaning`."""
    data = [[file.url, file.nbytes, file.token] for file in files]
    return hashlib.sha256(json.dumps([data, meaning], sort_keys=True).encode()).hexdigest()
