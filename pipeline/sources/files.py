"""The source that reads descriptors from files."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from configs.settings import Source as Columns
from pipeline.sources.endings import ending, refuse_mixture
from pipeline.sources.errors import SourceChanged, SourceMismatch, SourceMissing
from pipeline.sources.formats import Format, Head, Raw
from pipeline.sources.names import bad_ids
from pipeline.sources.normalise import Scale, normalise
from pipeline.sources.npy_file import Npy, beside
from pipeline.sources.npz_file import Npz
from pipeline.sources.parquet_file import Parquet
from pipeline.sources.places import Found, Place, find, look, neighbours
from pipeline.sources.rows import InputFile, Listing, Piece, Range, Reject, Rows, cut, fingerprint, joined

Made = TypeVar("Made")

REQUESTS = 16
"""Files whose headers are read at one time: what takes long is a remote store's answer."""

FORMATS: Mapping[str, Format] = {".npy": Npy(), ".npz": Npz(), ".parquet": Parquet()}


@dataclass(frozen=True, slots=True)
class FileSource:
    """Descriptors in `.npy`, `.npz` or Parquet files: one, the files of a folder, or the matches of a glob."""

    place: Place
    columns: Columns

    @classmethod
    def of(cls, place: Place, columns: Columns) -> FileSource:
        """The source, with an absolute URL: tasks may run in other folders."""
        fs, path = place.open()
        return cls(place.at(fs.unstrip_protocol(path)), columns)

    def listing(self) -> Listing:
        """Read names and headers.  Raises SourceMismatch when files differ in dimension, dtype, ids or version."""
        files = self._files()
        heads = _each(self._head, files)
        alike(files, heads)
        inputs = tuple(
            InputFile(file.url, file.nbytes, self._listed(file), head.rows)
            for file, head in zip(files, heads, strict=True)
        )
        rows = sum(head.rows for head in heads)
        if not rows:
            raise SourceMissing(f"{self.place.url}: expected descriptors, got 0 rows in {len(files)} files")
        first = next(head for head in heads if head.rows)
        return Listing(
            rows=rows,
            dim=first.dim,
            ids_kind=first.ids_kind,
            has_people=first.has_people,
            files=inputs,
            fingerprint=fingerprint(inputs, meaning(self.columns)),
            descriptor_version=first.descriptor_version,
        )

    def partitions(self, partition_rows: int) -> list[Range]:
        """Ranges over all files; a small file does not make a small partition."""
        listing = self.listing()
        return cut(listing.files, partition_rows, listing.dim)

    def read(self, part: Range) -> Rows:
        """The rows of a range; nothing but them is read, except from compressed `.npz`."""
        # one room for all batches, which are cleaned into it one behind the other
        room = np.empty((part.stop - part.start, part.dim), self.columns.precision)
        scale = Scale(self.columns.scale, self.columns.zero)
        done, kept, row = [], 0, part.start
        for piece in part.pieces:
            for raw in self._raw(piece, part.dim):
                some = clean(raw, row, scale, room[kept : kept + len(raw.vectors)])
                if some.rejects:
                    room[kept : kept + len(some.ids)] = some.descriptors
                kept, row = kept + len(some.ids), row + len(raw.vectors)
                done.append(some)
        return joined(done, part.dim, room[:kept])

    def _raw(self, piece: Piece, dim: int) -> Iterator[Raw]:
        place = self.place.at(piece.url)
        if (now := self._state(piece.url)) != piece.token:
            raise SourceChanged(
                f"{piece.url}: listed as {piece.token}, now {now}; start the build again to read what is there now"
            )
        yield from FORMATS[ending(piece.url)].read(place, self.columns, range(piece.start, piece.stop), dim)

    def _head(self, file: Found) -> Head:
        return FORMATS[ending(file.name)].head(self.place.at(file.url), file, self.columns)

    def _listed(self, file: Found) -> str:
        return self._state(file.url) if file.beside is None else state([file, *file.beside.values()])

    def _state(self, url: str) -> str:
        return state(map(look, together(self.place.at(url), self.columns)))

    def _files(self) -> list[Found]:
        found = find(self.place)
        refuse_mixture(self.place.url, (file.name for file in found))
        files = [file for file in found if ending(file.name) in FORMATS]
        if not files:
            names = ", ".join(file.name for file in found[:3])
            raise SourceMissing(f"{self.place.url}: expected files that end in {', '.join(FORMATS)}, found {names}")
        by_url = {file.url: file for file in files}
        mine = [file for file in files if not is_beside(file.url, by_url, named(self.columns))]
        if not self.place.is_s3:  # others may say the time of a file in another way when they list it
            return mine
        # several files without a pattern are all those of a folder
        known = by_url if len(found) > 1 and not any(sign in self.place.url for sign in "*?[") else None
        return _each(lambda file: self._with_neighbours(file, known), mine)

    def _with_neighbours(self, file: Found, known: Mapping[str, Found] | None) -> Found:
        """The file with those beside it; `known` is everything there is, where that is known."""
        place, *others = together(self.place.at(file.url), self.columns)
        urls = [one.url for one in others]
        if known is None:
            return replace(file, beside=neighbours(place, urls) if urls else {})
        return replace(file, beside={url: known.get(url) for url in urls})


def _each(work: Callable[[Found], Made], files: list[Found]) -> list[Made]:
    """What becomes of each file, in order; what takes long is a remote store's answer."""
    if len(files) < 2:
        return [work(file) for file in files]
    with ThreadPoolExecutor(REQUESTS, "listing") as pool:
        return list(pool.map(work, files))


def named(columns: Columns) -> list[str]:
    """Columns whose values may lie in files beside the descriptors."""
    return [column for column in (columns.id_column, columns.person_column) if column]


def together(place: Place, columns: Columns) -> list[Place]:
    """The file at the place with those that belong beside it, whether they are there or not."""
    return [place, *(beside(place, column) for column in named(columns) if ending(place.url) == ".npy")]


def state(files: Iterable[Found | None]) -> str:
    """Tokens of a file and of those beside it, which change when any of them does; `-` where there is none."""
    return " ".join(file.token if file else "-" for file in files)


def meaning(columns: Columns) -> dict[str, Any]:
    """The settings that change what rows mean."""
    found = asdict(columns)
    found.pop("max_reject_share")  # how many rejects are too many changes no row
    found.pop("template")  # the files' own URLs say where it led
    return found


def is_beside(url: str, urls: Container[str], columns: list[str]) -> bool:
    """Whether the file holds the ids or the people of another one of `urls`."""
    endings = (f".{column}.npy" for column in columns)
    return any(url.endswith(end) and url.removesuffix(end) + ".npy" in urls for end in endings)


def alike(files: list[Found], heads: list[Head]) -> None:
    """Raise SourceMismatch unless all files that have rows hold the same kind of rows."""
    pairs = [(file, head) for file, head in zip(files, heads, strict=True) if head.rows]
    for name in ("dim", "dtype", "ids_kind", "has_people", "descriptor_version"):
        for file, head in pairs[1:]:
            first, got = getattr(pairs[0][1], name), getattr(head, name)
            if got != first:
                raise SourceMismatch(f"{file.url}: expected {name} {first!r} as in {pairs[0][0].url}, got {got!r}")


def clean(raw: Raw, first_row: int, scale: Scale, descriptors: NDArray[Any]) -> Rows:
    """Raw rows normalised into `descriptors`, without those that cannot go into an index; `first_row` numbers the first."""
    count = len(raw.vectors)
    ids: list[Any] = raw.ids if raw.ids is not None else list(range(first_row, first_row + count))
    reasons = normalise(raw.vectors, scale, descriptors) | raw.bad
    if raw.ids is not None:
        reasons |= bad_ids(ids)
    if not reasons:
        return Rows(descriptors, ids, raw.people, ())
    keep = [number for number in range(count) if number not in reasons]
    rejects = tuple(
        Reject(first_row + number, "" if ids[number] is None else str(ids[number]), reasons[number])
        for number in sorted(reasons)
    )
    people = [raw.people[number] for number in keep] if raw.people is not None else None
    return Rows(descriptors[keep], [ids[number] for number in keep], people, rejects)
