"""Descriptors in Parquet files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from configs.settings import Source
from pipeline.sources.errors import SourceMismatch, SourceUnreadable
from pipeline.sources.formats import BATCH, Head, Raw, checked, is_default
from pipeline.sources.lists import matrix
from pipeline.sources.names import arrow_kind, from_arrow, people_of
from pipeline.sources.places import Found, Place, opened

VERSION_KEY = b"lim.descriptor_version"
"""Key of the file's metadata that names the model its descriptors come from."""

BUFFER = 4 << 20
"""Bytes read at once from each column: a row group need not fit in memory, and few requests go to a remote file."""

LOOK = 1_000
"""Rows looked at for the dimension of lists of different lengths."""


class Parquet:
    """The format: a list or fixed-size-list column of descriptors; a column of ids and one of people, where wanted."""

    def head(self, place: Place, file: Found, columns: Source) -> Head:
        """Read the footer, and a few rows when lists of different lengths leave the dimension open."""
        with table(place, file.nbytes) as parquet:
            schema = parquet.schema_arrow
            vectors, ids, people = find_columns(schema, columns, place.url)
            dtype = checked(
                np.dtype(vectors.type.value_type.to_pandas_dtype()), columns, f"{place.url}[{vectors.name}]"
            )
            kind = arrow_kind(ids.type, f"{place.url}[{ids.name}]") if ids else "row"
            if people:
                arrow_kind(people.type, f"{place.url}[{people.name}]")
            rows = parquet.metadata.num_rows
            dim = dimension(parquet, vectors) if rows else 0
            if rows and dim < 1:
                raise SourceMismatch(
                    f"{place.url}[{vectors.name}]: expected descriptors, got lists of {dim} components"
                )
            version = (schema.metadata or {}).get(VERSION_KEY, b"").decode()
            return Head(rows, dim, dtype.name, kind, people is not None, version)

    def read(self, place: Place, columns: Source, rows: range, dim: int) -> Iterator[Raw]:
        """Read the row groups that the rows lie in; rows before the first wanted one are decoded and dropped."""
        with table(place, -1) as parquet:
            wanted = find_columns(parquet.schema_arrow, columns, place.url)
            names = [column.name for column in wanted if column is not None]
            for batch in batches(parquet, rows, names):
                vectors, ids, people = (batch.column(column.name) if column else None for column in wanted)
                found, bad = matrix(vectors, dim)
                yield Raw(
                    found,
                    from_arrow(ids) if ids is not None else None,
                    people_of(from_arrow(people)) if people is not None else None,
                    bad,
                )


@contextmanager
def table(place: Place, nbytes: int) -> Iterator[pq.ParquetFile]:
    """The file; raises SourceUnreadable for one that is truncated or damaged."""
    try:
        with opened(place) as stream, pq.ParquetFile(stream, buffer_size=BUFFER, pre_buffer=False) as parquet:
            yield parquet
    except (pa.ArrowException, UnicodeDecodeError) as error:
        size = f" of {nbytes} bytes" if nbytes >= 0 else ""
        raise SourceUnreadable(
            f"{place.url}: expected a whole Parquet file (it ends in PAR1 after its footer), got a file{size} "
            f"that cannot be read: {error}"
        ) from error


def find_columns(schema: pa.Schema, columns: Source, url: str) -> tuple[pa.Field, pa.Field | None, pa.Field | None]:
    """The fields of descriptors, ids and people.

    Raises SourceMismatch when a column is missing.  Ids may be missing only where no other column
    could hold them: rows must not be numbered because a name was not known.
    """
    present = ", ".join(f"{field.name} ({field.type})" for field in schema)
    fields = {field.name: field for field in schema}
    known = {columns.vector_column, columns.person_column}
    for column in ("vector_column", "id_column", "person_column"):
        name = getattr(columns, column)
        optional = column == "person_column" or (column == "id_column" and not fields.keys() - known)
        if name in fields or not name or (optional and is_default(columns, column)):
            continue
        hint = '; set source.id_column="" to name rows by their number' if column == "id_column" else ""
        raise SourceMismatch(f"{url}: expected a column {name!r} (source.{column}), it has: {present or 'none'}{hint}")
    vectors = fields.get(columns.vector_column)
    if vectors is None or not is_list(vectors.type):
        got = vectors.type if vectors else "no name (source.vector_column is empty)"
        raise SourceMismatch(f"{url}[{columns.vector_column}]: expected a list or fixed-size-list column, got {got}")
    return vectors, fields.get(columns.id_column), fields.get(columns.person_column)


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type holds one list of numbers a row."""
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)))


def dimension(parquet: pq.ParquetFile, vectors: pa.Field) -> int:
    """Components of the file's descriptors: from the type, the footer's counts, or else the most frequent length."""
    if pa.types.is_fixed_size_list(vectors.type):
        return int(vectors.type.list_size)
    metadata = parquet.metadata
    leaf = next(i for i in range(metadata.num_columns) if metadata.schema.column(i).path.split(".")[0] == vectors.name)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    dim, rest = divmod(sum(group.column(leaf).num_values for group in groups), metadata.num_rows)
    if not rest:
        return int(dim)
    lengths: Counter[int] = Counter()
    for batch in batches(parquet, range(min(LOOK, metadata.num_rows)), [vectors.name]):
        lengths.update(np.diff(batch.column(0).offsets.to_numpy()).tolist())
    return max(lengths, key=lambda length: (lengths[length], length))


def batches(parquet: pq.ParquetFile, rows: range, names: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows as record batches of at most BATCH."""
    metadata = parquet.metadata
    ends = np.cumsum([0, *(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))])
    groups = [number for number in range(len(ends) - 1) if ends[number] < rows.stop and ends[number + 1] > rows.start]
    position = int(ends[groups[0]]) if groups else 0
    for batch in parquet.iter_batches(BATCH, row_groups=groups, columns=names, use_threads=False):
        before, after = max(rows.start - position, 0), min(rows.stop - position, batch.num_rows)
        position += batch.num_rows
        if after > before:
            yield batch.slice(before, after - before)
        if position >= rows.stop:
            return
