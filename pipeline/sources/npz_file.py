"""Descriptors in `.npz` archives."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.settings import Source
from pipeline.sources.errors import SourceMismatch, SourceUnreadable
from pipeline.sources.formats import BATCH, Head, Raw, is_default
from pipeline.sources.names import array_kind, from_array, people_of
from pipeline.sources.npy_file import ENOUGH, Header, parse_header, read_rows, vectors_header
from pipeline.sources.places import Found, Place, look, opened, read_range

LOCAL_HEADER = 30
"""Bytes of a zip member's own header before its name; the lengths of name and extra field are its last four."""

loading = Lock()


@dataclass(frozen=True, slots=True)
class Member:
    """An array of the archive."""

    name: str
    header: Header
    start: int | None
    """Where it begins in the archive; None when it is compressed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.header.shape


class Npz:
    """The format: one `(rows, dim)` array, the only one or the one named as the vector column; ids and people beside.

    What `np.savez` wrote is read by range.  What `np.savez_compressed` wrote has no ranges: such an
    array is unpacked whole, once per process.
    """

    def head(self, place: Place, file: Found, columns: Source) -> Head:
        """Read the arrays' headers."""
        vectors, ids, people = arrays(place, columns)
        kind = array_kind(ids.header.dtype, ids.shape, f"{place.url}[{ids.name}]") if ids else "row"
        if people:
            array_kind(people.header.dtype, people.shape, f"{place.url}[{people.name}]")
        rows, dim = vectors.shape
        return Head(rows, dim, vectors.header.dtype.name, kind, people is not None)

    def read(self, place: Place, columns: Source, rows: range, dim: int) -> Iterator[Raw]:
        """Read rows."""
        vectors, ids, people = arrays(place, columns)
        for start in range(rows.start, rows.stop, BATCH):
            some = range(start, min(start + BATCH, rows.stop))
            yield Raw(
                take(place, vectors, some),
                from_array(take(place, ids, some)) if ids else None,
                people_of(from_array(take(place, people, some))) if people else None,
            )


def arrays(place: Place, columns: Source) -> tuple[Member, Member | None, Member | None]:
    """The archive's descriptors, ids and people; raises SourceMismatch when it is not clear which they are."""
    members = list_members(place)
    present = ", ".join(f"{name} {member.shape}" for name, member in members.items()) or "nothing"
    tables = [member for member in members.values() if len(member.shape) == 2 and member.header.dtype.kind in "fui"]
    vectors = members.get(columns.vector_column)
    if vectors is None and is_default(columns, "vector_column"):
        vectors = members.get("descriptors") or (tables[0] if len(tables) == 1 else None)
    if vectors is None:
        wanted = f"expected an array {columns.vector_column!r} (source.vector_column)"
        raise SourceMismatch(f"{place.url}: {wanted}, it holds: {present}")
    vectors_header(vectors.header, columns, f"{place.url}[{vectors.name}]")
    ids, people = members.get(columns.id_column), members.get(columns.person_column)
    if ids is None and is_default(columns, "id_column"):
        ids = members.get("ids")
    for column, member in (("id_column", ids), ("person_column", people)):
        if member is None and getattr(columns, column) and not is_default(columns, column):
            wanted = f"expected an array {getattr(columns, column)!r} (source.{column})"
            raise SourceMismatch(f"{place.url}: {wanted}, it holds: {present}")
        if member is not None and member.shape[0] != vectors.shape[0]:
            raise SourceMismatch(f"{place.url}[{member.name}]: expected {vectors.shape[0]} rows, got {member.shape[0]}")
    return vectors, ids, people


@contextmanager
def unzipping(place: Place) -> Iterator[zipfile.ZipFile]:
    """The archive; raises SourceUnreadable for one that is damaged."""
    try:
        with opened(place) as stream, zipfile.ZipFile(stream) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise SourceUnreadable(
            f"{place.url}: expected a whole .npz archive, got one that cannot be read: {error}"
        ) from error


def list_members(place: Place) -> Mapping[str, Member]:
    """The arrays of the archive by name, from its directory and their headers."""
    members = {}
    with unzipping(place) as archive:
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            with archive.open(entry) as stream:
                header = parse_header(stream.read(ENOUGH), f"{place.url}[{name}]")
            if entry.file_size < header.end:
                raise SourceUnreadable(
                    f"{place.url}[{name}]: truncated: expected {header.end} bytes, got {entry.file_size}"
                )
            stored = entry.compress_type == zipfile.ZIP_STORED
            members[name] = Member(name, header, _start(place, entry) if stored else None)
    return members


def _start(place: Place, entry: zipfile.ZipInfo) -> int:
    lengths = read_range(place, entry.header_offset + LOCAL_HEADER - 4, 4)
    name, extra = int.from_bytes(lengths[:2], "little"), int.from_bytes(lengths[2:], "little")
    return entry.header_offset + LOCAL_HEADER + name + extra


def take(place: Place, member: Member, rows: range) -> NDArray[Any]:
    """Rows of one array."""
    if member.start is not None:
        return read_rows(place, member.header, rows, member.start)
    file = look(place)
    with loading:  # two threads that want the same array unpack it once
        data = unpacked(place, member.name, file.token if file else "")
    return data[rows.start : rows.stop]


# Descriptors, ids and people of the archive in hand.
@lru_cache(maxsize=3)
def unpacked(place: Place, name: str, token: str) -> NDArray[Any]:
    """A compressed array, whole; `token` keeps a replaced file from being taken for the one that was unpacked."""
    with unzipping(place) as archive:
        data = archive.read(f"{name}.npy")
    header = parse_header(data[:ENOUGH], f"{place.url}[{name}]")
    count = int(np.prod(header.shape, dtype=np.int64))
    return np.frombuffer(data, header.dtype, count, header.offset).reshape(header.shape)
