"""Names of rows on disk: UUIDs, integers or strings, in internal order.

Layout, little-endian: 8 letters `LIMIDS01`, uint32 kind (1 int, 2 uuid, 3 str), uint32 zero,
uint64 count; then int64 per row, or 16 bytes per row, or (count + 1) uint64 offsets and UTF-8 text.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact.errors import ArtifactCorrupt, ArtifactMissing
from pipeline.artifact.files import Data

MAGIC = b"LIMIDS01"
HEADER = struct.Struct("<8sIIQ")
KINDS = ("int", "uuid", "str")

SMALL = 1 << 16
"""Bytes up to which a file is read: each mapped one keeps a file open, and there may be a thousand small indexes."""


class Ids:
    """A read-only sequence of names, mapped or in memory; a UUID reads as its canonical text."""

    def __init__(self, kind: str, values: NDArray[Any], text: memoryview | None = None) -> None:
        self.kind = kind
        self._values = values
        self._text = memoryview(b"") if text is None else text

    @classmethod
    def encode(cls, names: Sequence[str | int | UUID] | NDArray[np.int64]) -> bytes:
        """The bytes of names; names of several kinds are all kept as strings."""
        return cls.of(names).to_bytes()

    @classmethod
    def of(cls, names: Sequence[str | int | UUID] | NDArray[np.int64]) -> Ids:
        """Names in memory."""
        if isinstance(names, np.ndarray):
            if names.dtype.kind == "i":
                return cls("int", names.astype("<i8"))
            names = names.tolist()  # of another type: text, or numbers that may not fit
        kinds = {bool: "str", int: "int", np.int64: "int", UUID: "uuid"}
        found = {kinds.get(type(name), "str") for name in names}
        if found == {"int"} and all(-(2**63) <= int(name) < 2**63 for name in names):
            return cls("int", np.array(names, "<i8"))
        if found == {"uuid"}:
            return cls("uuid", np.frombuffer(b"".join(name.bytes for name in names), "V16"))  # type: ignore[union-attr]
        parts = [str(name).encode() for name in names]
        offsets = np.zeros(len(parts) + 1, "<u8")
        np.cumsum([len(part) for part in parts], out=offsets[1:])
        return cls("str", offsets, memoryview(b"".join(parts)))

    @classmethod
    def open(cls, source: Path | Data) -> Ids:
        """Map a file or read bytes.  Raises ArtifactMissing, or ArtifactCorrupt for what is no such file."""
        name = source.name if isinstance(source, Path) else "ids"
        data = _mapped(source) if isinstance(source, Path) else memoryview(source)
        if len(data) < HEADER.size:
            raise ArtifactCorrupt(f"{name}: expected at least {HEADER.size} bytes, got {len(data)}")
        magic, kind, _, count = HEADER.unpack_from(data)
        if magic != MAGIC or not 1 <= kind <= len(KINDS):
            raise ArtifactCorrupt(f"{name}: expected a file of ids, got one that begins with {bytes(data[:8])!r}")
        body = data[HEADER.size :]
        if KINDS[kind - 1] == "str":
            return cls._strings(name, body, count)
        dtype = "<i8" if KINDS[kind - 1] == "int" else "V16"
        if len(body) != count * np.dtype(dtype).itemsize:
            raise ArtifactCorrupt(f"{name}: expected {count} ids, got {len(body)} bytes of them")
        return cls(KINDS[kind - 1], np.frombuffer(body, dtype))

    @classmethod
    def _strings(cls, name: str, body: memoryview, count: int) -> Ids:
        cut = (count + 1) * 8
        if len(body) < cut:
            raise ArtifactCorrupt(f"{name}: expected {count} ids, got {len(body)} bytes of them")
        offsets, text = np.frombuffer(body[:cut], "<u8"), body[cut:]
        if offsets[0] != 0 or offsets[-1] != len(text) or (np.diff(offsets.astype(np.int64)) < 0).any():
            raise ArtifactCorrupt(f"{name}: expected offsets that rise from 0 to {len(text)}, got others")
        return cls("str", offsets, text)

    @classmethod
    def stream(cls, parts: Callable[[], Iterable[Ids]]) -> Iterator[Data]:
        """The file of parts laid end to end, holding one at a time; `parts` is called for each pass over them.

        Parts of several kinds become strings.
        """
        kinds, count = set(), 0
        for part in parts():
            kinds.add(part.kind)
            count += len(part)
        kind = kinds.pop() if len(kinds) == 1 else "str"
        yield HEADER.pack(MAGIC, KINDS.index(kind) + 1, 0, count)
        if kind != "str":
            yield from (part._values.tobytes() for part in parts())
            return
        yield bytes(8)
        end = 0
        for part in parts():
            offsets = part.as_text()._values[1:]
            yield (offsets + np.uint64(end)).astype("<u8").tobytes()
            end += int(offsets[-1]) if len(offsets) else 0
        yield from (part.as_text()._text for part in parts())

    def as_text(self) -> Ids:
        """The same names as strings."""
        return self if self.kind == "str" else Ids.of([str(name) for name in self])

    def cut(self, rows: slice) -> Ids:
        """The names from row `rows.start` to `rows.stop`."""
        if self.kind != "str":
            return Ids(self.kind, self._values[rows])
        offsets = self._values[rows.start : rows.stop + 1]
        first, last = int(offsets[0]), int(offsets[-1])
        return Ids("str", offsets - offsets[0], self._text[first:last])

    def to_bytes(self) -> bytes:
        """The file."""
        header = HEADER.pack(MAGIC, KINDS.index(self.kind) + 1, 0, len(self))
        return header + self._values.tobytes() + bytes(self._text)

    def select(self, positions: NDArray[np.int64]) -> Ids:
        """The names at these positions."""
        if self.kind == "str":
            return Ids.of([self[int(position)] for position in positions])
        return Ids(self.kind, self._values[positions])

    def keys(self) -> NDArray[Any]:
        """One comparable value per name (n,): integers, 16 bytes, or text."""
        return np.array(list(self), object) if self.kind == "str" else self._values

    def letters(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Of strings: where each begins (n + 1,), and all of their UTF-8 text."""
        return self._values.astype(np.int64), np.frombuffer(self._text, np.uint8)

    def __len__(self) -> int:
        return len(self._values) - (self.kind == "str")

    def __getitem__(self, number: int) -> str | int:
        if not 0 <= number < len(self):
            raise IndexError(f"row number: expected 0 to {len(self) - 1}, got {number}")
        if self.kind == "int":
            return int(self._values[number])
        if self.kind == "uuid":
            return str(UUID(bytes=self._values[number].tobytes()))
        text = bytes(self._text[int(self._values[number]) : int(self._values[number + 1])])
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            raise ArtifactCorrupt(f"ids: expected UTF-8 in row {number}, got {text[:20]!r} ({error.reason})") from None

    def __iter__(self) -> Iterator[str | int]:
        return iter(self.take(range(len(self))))

    def take(self, numbers: Iterable[int]) -> list[str | int]:
        """The names at these row numbers."""
        if self.kind == "str":
            return [self[int(number)] for number in numbers]
        rows = numbers if isinstance(numbers, np.ndarray) else np.fromiter(numbers, np.int64)
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):  # NumPy would count from the end
            raise IndexError(f"row numbers: expected 0 to {len(self) - 1}, got {rows.min()} to {rows.max()}")
        chosen = self._values[rows]
        if self.kind == "int":
            return chosen.tolist()  # type: ignore[no-any-return]
        digits = chosen.tobytes().hex()  # slices of one text: five times faster than a UUID object each
        return [
            f"{digits[at : at + 8]}-{digits[at + 8 : at + 12]}-{digits[at + 12 : at + 16]}-"
            f"{digits[at + 16 : at + 20]}-{digits[at + 20 : at + 32]}"
            for at in range(0, len(digits), 32)
        ]

    def find(self, name: str | int) -> int | None:
        """The row number of a name, by one pass over the file; None when it is not there."""
        if self.kind == "int":
            hits = np.flatnonzero(self._values == name) if isinstance(name, int) else np.empty(0, np.int64)
        elif self.kind == "uuid":
            try:
                wanted: Any = np.frombuffer(UUID(str(name)).bytes, "V16")
            except ValueError:
                return None
            hits = np.flatnonzero(self._values == wanted)
        else:
            hits = self._rows_of(name.encode(errors="replace")) if isinstance(name, str) else np.empty(0, np.int64)
        return int(hits[0]) if len(hits) else None

    def _rows_of(self, name: bytes) -> NDArray[np.int64]:
        """Rows that hold this text: those of its length, letter by letter from the last, where names differ most."""
        starts, letters = self.letters()
        rows = np.flatnonzero(np.diff(starts) == len(name))
        for at in reversed(range(len(name))):
            rows = rows[letters[starts[rows] + at] == name[at]]
        return rows

    def close(self) -> None:
        """Let go of the mapping."""
        self._values, self._text = np.empty(int(self.kind == "str"), self._values.dtype), memoryview(b"")


def _mapped(path: Path) -> memoryview:
    try:
        with path.open("rb") as file:
            if path.stat().st_size <= SMALL:
                return memoryview(file.read())
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise ArtifactMissing(f"{path.name}: nothing lies there") from None
