"""Descriptors in `.npy` files, with ids in a file beside each."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.settings import Source
from pipeline.sources.errors import SourceMismatch, SourceUnreadable
from pipeline.sources.formats import BATCH, Head, Raw, checked
from pipeline.sources.names import array_kind, from_array, people_of
from pipeline.sources.places import Found, Place, look, read_range

ENOUGH = 4_096
"""Bytes read to see a header; NumPy's are 128 bytes unless there are very many fields."""


@dataclass(frozen=True, slots=True)
class Header:
    """The head of an array in NumPy's format."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int
    """Where the data begins, in bytes from the beginning of the array's file."""

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    @property
    def end(self) -> int:
        """Bytes that the file must have."""
        return self.offset + self.shape[0] * self.row_bytes


def parse_header(data: bytes, what: str) -> Header:
    """The header in the first bytes of a file; raises SourceUnreadable for a foreign or truncated one."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version > (2, 0):
            raise SourceMismatch(f"{what}: expected a plain array, got one with named fields (format {version})")
        parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = parse(stream)
    except ValueError as error:
        raise SourceUnreadable(f"{what}: expected an array in NumPy's format, got {len(data)} bytes: {error}") from None
    if not shape:
        raise SourceMismatch(f"{what}: expected rows, got a single number")
    return Header(shape, fortran and len(shape) > 1, dtype, stream.tell())


def vectors_header(header: Header, columns: Source, what: str) -> Header:
    """The header; raises SourceMismatch unless it is of descriptors (n, dim) in row order."""
    if len(header.shape) != 2 or header.shape[1] == 0:
        raise SourceMismatch(f"{what}: expected descriptors of shape (rows, dim), got {header.shape}")
    if header.fortran:
        raise SourceMismatch(
            f"{what}: expected rows one after the other, got column order; save np.ascontiguousarray(x)"
        )
    checked(header.dtype, columns, what)
    return header


def read_header(place: Place, nbytes: int) -> Header:
    """The header of a `.npy` file of `nbytes` bytes; raises SourceUnreadable when data is missing at its end."""
    header = parse_header(read_range(place, 0, min(ENOUGH, nbytes)), place.url)
    if nbytes < header.end:
        raise SourceUnreadable(
            f"{place.url}: truncated: expected {header.end} bytes for {header.dtype} {header.shape}, got {nbytes}"
        )
    return header


def read_rows(place: Place, header: Header, rows: range, offset: int = 0) -> NDArray[Any]:
    """Rows of an array whose file begins `offset` bytes into the one at the place."""
    start = offset + header.offset + rows.start * header.row_bytes
    data = read_range(place, start, len(rows) * header.row_bytes)
    return np.frombuffer(data, header.dtype).reshape(len(rows), *header.shape[1:])


def beside(place: Place, column: str) -> Place:
    """Where the names of a file's rows lie: `faces.npy` has its ids in `faces.id.npy`."""
    return place.at(f"{place.url.removesuffix('.npy')}.{column}.npy")


class Npy:
    """The format: `(rows, dim)` in C order; ids and people in `NAME.{column}.npy` beside `NAME.npy`, where wanted."""

    def head(self, place: Place, file: Found, columns: Source) -> Head:
        """Read the headers of the file and of those beside it."""
        header = vectors_header(read_header(place, file.nbytes), columns, place.url)
        ids = self._names(place, columns.id_column, header, file)
        people = self._names(place, columns.person_column, header, file)
        kind = array_kind(ids.dtype, ids.shape, beside(place, columns.id_column).url) if ids else "row"
        if people:
            array_kind(people.dtype, people.shape, beside(place, columns.person_column).url)
        rows, dim = header.shape
        return Head(rows, dim, header.dtype.name, kind, people is not None)

    def read(self, place: Place, columns: Source, rows: range, dim: int) -> Iterator[Raw]:
        """Read rows by range; the file is never whole in memory."""
        file = look(place)
        header = read_header(place, file.nbytes if file else 0)
        ids = self._names(place, columns.id_column, header, file)
        people = self._names(place, columns.person_column, header, file)
        for start in range(rows.start, rows.stop, BATCH):
            some = range(start, min(start + BATCH, rows.stop))
            yield Raw(
                read_rows(place, header, some),
                from_array(read_rows(beside(place, columns.id_column), ids, some)) if ids else None,
                people_of(from_array(read_rows(beside(place, columns.person_column), people, some)))
                if people
                else None,
            )

    def _names(self, place: Place, column: str, vectors: Header, of: Found | None) -> Header | None:
        if not column:
            return None
        where = beside(place, column)
        file = look(where) if of is None or of.beside is None else of.beside[where.url]
        if file is None:
            return None
        header = read_header(where, file.nbytes)
        if header.shape[0] != vectors.shape[0]:
            raise SourceMismatch(
                f"{where.url}: expected {vectors.shape[0]} rows as in {place.url}, got {header.shape[0]}"
            )
        return header
