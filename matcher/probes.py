"""Probes from a file, for the commands that ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import LimError

COLUMN = "descriptor"


class ProbesError(LimError):
    """A file of probes that cannot be used; names the file, expected, got."""


def read_probes(path: Path) -> NDArray[np.float32]:
    """Vectors (n, dim) float32 of a `.npy`, `.npz` or `.parquet` file (column or array `descriptor`)."""
    if not path.exists():
        raise ProbesError(f"{path}: expected a file of probes, got no such file")
    readers = {".npy": _npy, ".npz": _npz, ".parquet": _parquet}
    if path.suffix not in readers:
        raise ProbesError(
            f"{path}: expected a name that ends in {', '.join(readers)}, got {path.suffix or 'no ending'!r}"
        )
    try:
        found = readers[path.suffix](path)
    except ProbesError:
        raise
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise ProbesError(f"{path}: expected vectors, got a file that cannot be read ({error})") from error
    if found.ndim != 2 or found.dtype.kind not in "fiu":
        raise ProbesError(f"{path}: expected a matrix of numbers, got {found.dtype} of shape {found.shape}")
    if not len(found):
        raise ProbesError(f"{path}: expected probes, got none")
    probes = np.ascontiguousarray(found, np.float32)
    bad = ~np.isfinite(probes).all(axis=1) | ~probes.any(axis=1)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise ProbesError(
            f"{path}: expected finite vectors that are not zero, got another in row {first} ({int(bad.sum())} in all)"
        )
    return probes


def _npy(path: Path) -> NDArray[Any]:
    return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]


def _npz(path: Path) -> NDArray[Any]:
    with np.load(path, allow_pickle=False) as arrays:
        names = [name for name in (COLUMN, f"{COLUMN}s") if name in arrays] or [
            name for name in arrays.files if arrays[name].ndim == 2
        ]
        if len(names) != 1:
            raise ProbesError(f"{path}: expected one array {COLUMN!r} or one matrix, got {', '.join(arrays.files)}")
        return arrays[names[0]]  # type: ignore[no-any-return]


def _parquet(path: Path) -> NDArray[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    if COLUMN not in table.column_names:
        raise ProbesError(f"{path}: expected a column {COLUMN!r}, got {', '.join(table.column_names)}")
    column = table[COLUMN].combine_chunks()
    if column.null_count or not (pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)):
        raise ProbesError(
            f"{path}: expected a column of lists without nulls, got {column.type} with {column.null_count} nulls"
        )
    flat = column.flatten().to_numpy(zero_copy_only=False)
    if len(column) and len(flat) % len(column):
        raise ProbesError(f"{path}: expected vectors of one length, got several")
    return flat.reshape(len(column), -1)  # type: ignore[no-any-return]
