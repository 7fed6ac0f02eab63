"""Files of probes that cannot be used: what is said about each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from published import DIM

from matcher.probes import ProbesError, read_probes


def bad_files(folder: Path) -> dict[str, str]:
    """Files of probes that cannot be used, each with a word of what is said about it."""
    rows = np.ones((4, DIM), np.float32)
    nan, zero = rows.copy(), rows.copy()
    nan[2, 5], zero[3] = np.nan, 0
    np.save(folder / "nan.npy", nan)
    np.save(folder / "zero.npy", zero)
    np.save(folder / "none.npy", rows[:0])
    np.save(folder / "flat.npy", rows[0])
    np.save(folder / "words.npy", np.array([["a", "b"]]))
    np.save(folder / "complex.npy", rows.astype(complex))
    np.save(folder / "objects.npy", np.array([{}], object), allow_pickle=True)
    (folder / "empty.npy").write_bytes(b"")
    (folder / "empty.parquet").write_bytes(b"")
    (folder / "cut.npy").write_bytes((folder / "nan.npy").read_bytes()[:200])
    np.savez(folder / "two.npz", one=rows, two=rows)
    (folder / "cut.npz").write_bytes((folder / "two.npz").read_bytes()[:200])
    pq.write_table(pa.table({"id": [1, 2]}), folder / "column.parquet")
    pq.write_table(pa.table({"descriptor": [1.0, 2.0]}), folder / "numbers.parquet")
    pq.write_table(pa.table({"descriptor": [[1.0, 2.0], None]}), folder / "nulls.parquet")
    pq.write_table(pa.table({"descriptor": [[1.0, 2.0], [1.0]]}), folder / "ragged.parquet")
    pq.write_table(pa.table({"descriptor": [[1.0, 2.0, 3.0], [1.0]]}), folder / "ragged2.parquet")
    pq.write_table(pa.table({"descriptor": pa.array([], pa.list_(pa.float32()))}), folder / "rowless.parquet")
    (folder / "cut.parquet").write_bytes((folder / "column.parquet").read_bytes()[:-20])
    (folder / "table.txt").write_text("1 2 3")
    (folder / "folder.npy").mkdir(exist_ok=True)
    return {
        "nan.npy": "another in row 2 (1 in all)", "zero.npy": "not zero, got another in row 3", "none.npy": "got none",
        "flat.npy": "expected a matrix", "words.npy": "expected a matrix of numbers", "complex.npy": "expected a matrix",
        "objects.npy": "cannot be read", "empty.npy": "cannot be read", "empty.parquet": "cannot be read",
        "cut.npy": "cannot be read", "two.npz": "got one, two", "cut.npz": "cannot be read",
        "column.parquet": "expected a column 'descriptor', got id", "numbers.parquet": "column of lists",
        "nulls.parquet": "1 nulls", "ragged.parquet": "one length, got 1, 2", "ragged2.parquet": "one length, got 1, 3",
        "rowless.parquet": "got none", "cut.parquet": "cannot be read", "table.txt": "ends in .npy, .npz, .parquet",
        "missing.npy": "no such file", "folder.npy": "cannot be read",
    }  # fmt: skip


def test_every_bad_file_of_probes_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    for name, why in bad_files(tmp_path).items():
        with pytest.raises(ProbesError) as caught:
            read_probes(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: expected"), name
        assert why in str(caught.value), name
