"""Files of made-up descriptors in the formats that sources read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.generate.faces import Faces
from pipeline.generate.regimes import GenerateError
from pipeline.generate.targets import whole
from pipeline.sources.npy_file import beside
from pipeline.sources.parquet_file import VERSION_KEY
from pipeline.sources.places import Place

FILE_ROWS = 500_000
"""Rows of a file of a folder: half a gigabyte at 512 dimensions."""

Write = Callable[[Faces], None]


def write(place: Place, chunks: Iterable[Faces], *, rows: int, dim: int, version: str) -> Iterator[int]:
    """Write chunks, `rows` rows in all, and yield how many were written after each.

    The URL decides: `….parquet` with the columns id, person and descriptor; `….npy` with ids and
    people in `….id.npy` and `….person.npy` beside it; `…/` is a folder of Parquet files.
    Raises GenerateError for another ending, or for a folder in which something lies.
    """
    chunks = iter(chunks)
    if place.url.endswith("/"):
        refuse_filled(place)
        for number, start in enumerate(range(0, rows, FILE_ROWS)):
            with parquet(place.at(f"{place.url}part-{number:05d}.parquet"), dim, version) as add:
                yield from _some(add, chunks, min(FILE_ROWS, rows - start))
    elif place.url.endswith(".parquet"):
        with parquet(place, dim, version) as add:
            yield from _some(add, chunks, rows)
    elif place.url.endswith(".npy"):
        with npy(place, rows, dim) as add:
            yield from _some(add, chunks, rows)
    else:
        raise GenerateError(f"--out: expected a URL that ends in .parquet, .npy or / (a folder), got {place.url!r}")


def _some(add: Write, chunks: Iterator[Faces], rows: int) -> Iterator[int]:
    while rows > 0:
        faces = next(chunks)
        add(faces)
        rows -= len(faces.ids)
        yield len(faces.ids)


def refuse_filled(place: Place) -> None:
    """Raise GenerateError when something lies in the folder: its rows would mix with the new ones."""
    fs, path = place.open()
    if fs.isdir(path) and (there := fs.ls(path, detail=False)):
        raise GenerateError(f"{place.url}: expected an empty folder, found {there[0].rsplit('/', 1)[-1]}; name another")


@contextmanager
def parquet(place: Place, dim: int, version: str) -> Iterator[Write]:
    """A Parquet file with a row group per chunk.

    Descriptors are neither compressed nor put into dictionaries: noise does not get smaller, and
    reading is several times faster without; not being nullable saves their levels.
    """
    item = pa.field("element", pa.float16(), nullable=False)
    kind = pa.list_(item, dim)
    fields = [pa.field("id", pa.string(), nullable=False), pa.field("person", pa.string(), nullable=False)]
    schema = pa.schema([*fields, pa.field("descriptor", kind, nullable=False)], {VERSION_KEY: version.encode()})
    packing = {"id": "snappy", "person": "snappy", "descriptor.list.element": "none"}
    with whole(place) as stream, pq.ParquetWriter(stream, schema, use_dictionary=False, compression=packing) as writer:

        def add(faces: Faces) -> None:
            values = pa.FixedSizeListArray.from_arrays(pa.array(faces.descriptors.ravel()), type=kind)
            columns = [pa.array(faces.ids), pa.array(faces.people), values]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=len(faces.ids))

        yield add


@contextmanager
def npy(place: Place, rows: int, dim: int) -> Iterator[Write]:
    """A `.npy` file with its ids and people beside it; the descriptors get their name last."""
    with ExitStack() as stack:
        descriptors = stack.enter_context(_array(place, np.dtype(np.float16), (rows, dim)))
        ids = stack.enter_context(_array(beside(place, "id"), np.dtype("S36"), (rows,)))
        people = stack.enter_context(_array(beside(place, "person"), np.dtype("S20"), (rows,)))

        def add(faces: Faces) -> None:
            descriptors.write(faces.descriptors.tobytes())
            ids.write(np.array(faces.ids, "S36").tobytes())
            people.write(np.array(faces.people, "S20").tobytes())

        yield add


@contextmanager
def _array(place: Place, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Iterator[IO[bytes]]:
    with whole(place) as stream:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        yield stream
