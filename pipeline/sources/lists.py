"""List columns of Arrow as matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def matrix(column: pa.Array, dim: int) -> tuple[NDArray[Any], dict[int, str]]:
    """The rows of a list column as (n, dim), with the reasons, by position, of those that have no such row.

    No copy is made where every row has `dim` components.
    """
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
        lengths = np.full(len(column), width, np.int64)
        starts = (column.offset + np.arange(len(column), dtype=np.int64)) * width
    else:
        offsets = column.offsets.to_numpy().astype(np.int64)
        lengths, starts = np.diff(offsets), offsets[:-1]
    bad = {
        number: f"expected {dim} components, got {lengths[number]}"
        for number in np.flatnonzero(lengths != dim).tolist()
    }
    if column.null_count:
        missing = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
        bad.update(dict.fromkeys(missing.tolist(), "expected a descriptor, got null"))
    values = column.values
    rows = gather(_numbers(values), starts, dim, bad)
    if values.null_count:
        holes = gather(values.is_null().to_numpy(zero_copy_only=False), starts, dim, bad).sum(axis=1)
        for number in np.flatnonzero(holes).tolist():
            bad.setdefault(number, f"expected numbers, got null in {holes[number]} of {dim} components")
    return rows, bad


def gather(flat: NDArray[Any], starts: NDArray[np.int64], dim: int, bad: dict[int, str]) -> NDArray[Any]:
    """Rows of `dim` values that begin at `starts`; zeros for those in `bad`."""
    count = len(starts)
    if not bad:
        first = int(starts[0]) if count else 0
        return flat[first : first + count * dim].reshape(count, dim)
    good = np.delete(np.arange(count), list(bad))
    rows = np.zeros((count, dim), flat.dtype)
    rows[good] = flat[starts[good][:, None] + np.arange(dim)]
    return rows


def _numbers(values: pa.Array) -> NDArray[Any]:
    """The values' buffer, whatever stands where they are null."""
    dtype = np.dtype(values.type.to_pandas_dtype())
    data = values.buffers()[1]
    if data is None:
        return np.empty(0, dtype)
    return np.frombuffer(data, dtype)[values.offset : values.offset + len(values)]
