"""The table of candidates that `lim match` writes, row group by row group."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from matcher.merge import Sighting
from matcher.outputs import OutputError, expect_folders

COLUMNS = ("probe", "rank", "id", "similarity")

ROWS = 65_536
"""Rows written together."""

Rows = list[tuple[Any, ...]]


class Format(Protocol):
    """Writes rows into a file."""

    def write(self, rows: Rows) -> None:
        """Some more rows."""

    def close(self) -> None:
        """No more rows."""


class Table:
    """Rows probe, rank, id, similarity (and label, where there are several), best first within a probe.

    The file appears under its name when it is whole; leaving the `with` block by an error leaves nothing.
    """

    def __init__(self, path: Path, *, labelled: bool) -> None:
        """Raises OutputError when the ending is unknown or the folder is not there."""
        form = FORMATS.get(path.suffix)
        if form is None:
            raise OutputError(
                f"{path}: expected a name that ends in {', '.join(FORMATS)}, got {path.suffix or 'no ending'!r}"
            )
        expect_folders(path)
        self._path, self._part = path, path.with_name(f".{path.name}.{os.getpid()}.part")
        self._columns = (*COLUMNS, "label") if labelled else COLUMNS
        self._form: Callable[[Path, Sequence[str]], Format] = form
        self._rows: Rows = []
        self.count = 0

    def __enter__(self) -> Table:
        self._out = self._form(self._part, self._columns)
        return self

    def add(self, probe: int, found: Sequence[Sighting]) -> None:
        """The candidates of one probe."""
        width = len(self._columns)
        self._rows += [(probe, rank, *sighting)[:width] for rank, sighting in enumerate(found, 1)]
        if len(self._rows) >= ROWS:
            self._flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
            self._out.close()
            if kind is None:
                self._part.replace(self._path)
        finally:
            self._part.unlink(missing_ok=True)

    def _flush(self) -> None:
        self._out.write(self._rows)
        self.count += len(self._rows)
        self._rows = []


class Csv:
    """Comma-separated values with a header."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._writer.writerow(columns)

    def write(self, rows: Rows) -> None:
        """Some more rows."""
        self._writer.writerows(rows)

    def close(self) -> None:
        """No more rows."""
        self._file.close()


class JsonLines:
    """One JSON object a row."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._columns = columns

    def write(self, rows: Rows) -> None:
        """Some more rows."""
        self._file.writelines(json.dumps(dict(zip(self._columns, row, strict=True))) + "\n" for row in rows)

    def close(self) -> None:
        """No more rows."""
        self._file.close()


class Parquet:
    """Parquet with int64 probe, int32 rank, string id, float32 similarity."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        import pyarrow.parquet as pq

        self._path, self._columns, self._pq = path, columns, pq
        self._writer: Any = None

    def write(self, rows: Rows) -> None:
        """Some more rows."""
        import pyarrow as pa

        if self._writer is None:
            kinds = (pa.int64(), pa.int32(), pa.string(), pa.float32(), pa.string())
            self._schema = pa.schema(list(zip(self._columns, kinds, strict=False)))
            self._writer = self._pq.ParquetWriter(self._path, self._schema)
        columns = list(zip(*rows, strict=True)) or [()] * len(self._columns)
        columns[2] = tuple(map(str, columns[2]))
        arrays = [pa.array(column, kind) for column, kind in zip(columns, self._schema.types, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """No more rows."""
        if self._writer is not None:
            self._writer.close()


FORMATS: dict[str, Callable[[Path, Sequence[str]], Format]] = {".parquet": Parquet, ".csv": Csv, ".jsonl": JsonLines}
