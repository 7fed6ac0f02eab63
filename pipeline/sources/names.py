"""Names of rows, their ids or people, from columns of any supported type."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.sources.errors import SourceMismatch

Names = list[str | int | UUID | None]
LARGEST = 2**63 - 1
EXPECTED = "expected strings, integers or UUIDs (16 bytes each)"


def array_kind(dtype: np.dtype[Any], shape: tuple[int, ...], what: str) -> str:
    """`str`, `int` or `uuid` for a NumPy array of names (n,) or of UUID bytes (n, 16); raises SourceMismatch."""
    if len(shape) == 1 and dtype.kind in "USiuV":
        if dtype.kind != "V":
            return "int" if dtype.kind in "iu" else "str"
        if dtype.itemsize == 16 and dtype.names is None:
            return "uuid"
    if len(shape) == 2 and shape[1] == 16 and dtype == np.uint8:
        return "uuid"
    hint = "; save them as a string array, Python objects are never unpickled" if dtype.kind == "O" else ""
    raise SourceMismatch(f"{what}: {EXPECTED}, got an array of {dtype} {shape}{hint}")


def from_array(values: NDArray[Any]) -> Names:
    """Names from an array that `array_kind` accepts."""
    if values.dtype.kind == "S":
        return _text(values)
    if values.dtype.kind in "Uiu" and values.ndim == 1:
        return list(values.tolist())
    data = values.tobytes()
    return [UUID(bytes=data[start : start + 16]) for start in range(0, len(data), 16)]


def _text(values: NDArray[Any]) -> Names:
    try:
        return list(np.char.decode(values, "utf-8").tolist())
    except UnicodeDecodeError as error:
        raise SourceMismatch(f"ids and people: expected UTF-8 text, got {error.object[:40]!r}") from None


def arrow_kind(kind: pa.DataType, what: str) -> str:
    """`str`, `int` or `uuid` for an Arrow column type; raises SourceMismatch."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "str"
    if pa.types.is_integer(kind):
        return "int"
    if kind == pa.binary(16):
        return "uuid"
    raise SourceMismatch(f"{what}: {EXPECTED}, got {kind}")


def from_arrow(column: pa.Array) -> Names:
    """Names from a column that `arrow_kind` accepts; None where it is null."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    values: list[Any] = column.to_pylist()
    if pa.types.is_fixed_size_binary(column.type):
        return [None if value is None else UUID(bytes=value) for value in values]
    return values


def people_of(names: Names) -> list[str]:
    """Person labels as text, "" for those unknown."""
    return ["" if name is None else str(name) for name in names]


def bad_ids(ids: Names) -> dict[int, str]:
    """Reasons, by position, of ids that cannot name a row."""
    found = [number for number, name in enumerate(ids) if not name and name != 0]
    if isinstance(next((name for name in ids if name is not None), None), int):
        found += [number for number, name in enumerate(ids) if isinstance(name, int) and name > LARGEST]
    return {number: _reason(ids[number]) for number in found}


def _reason(name: str | int | UUID | None) -> str:
    if name is None:
        return "expected an id, got null"
    if name == "":
        return "expected an id, got an empty string"
    return f"expected an id of at most {LARGEST} (int64), got {name}"
