"""Probes from a file, for the commands that ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

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
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise ProbesError(f"{path}: expected vectors, got a file that cannot be read ({error})") from error
    if found.ndim != 2 or found.dtype.kind not in "fiu":
        raise ProbesError(f"{path}: expected a matrix of numbers, got {found.dtype} of shape {found.shape}")
    if found.dtype.itemsize == 1:  # quantised, and what its numbers mean stands nowhere
        raise ProbesError(f"{path}: expected floats, got {found.dtype}: turn quantised descriptors into floats first")
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
    with path.open("rb") as file:
        return np.load(file, allow_pickle=False)  # type: ignore[no-any-return]


def _npz(path: Path) -> NDArray[Any]:
    # opened here, because NumPy leaves a file open that is no archive
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        names = [name for name in (COLUMN, f"{COLUMN}s") if name in arrays] or [
            name for name in arrays.files if arrays[name].ndim == 2
        ]
        if len(names) != 1:
            raise ProbesError(f"{path}: expected one array {COLUMN!r} or one matrix, got {', '.join(arrays.files)}")
        return arrays[names[0]]  # type: ignore[no-any-return]


def _parquet(path: Path) -> NDArray[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    if COLUMN not in table.column_names:
        raise ProbesError(f"{path}: expected a column {COLUMN!r}, got {', '.join(table.column_names)}")
    column = table[COLUMN].combine_chunks()
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if column.null_count or not any(is_kind(column.type) for is_kind in lists):
        raise ProbesError(
            f"{path}: expected a column of lists without nulls, got {column.type} with {column.null_count} nulls"
        )
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) > 1:
        raise ProbesError(f"{path}: expected vectors of one length, got {', '.join(map(str, sorted(lengths)))}")
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), lengths[0] if lengths else 0)  # type: ignore[no-any-return]
