"""What a person is told about sources that cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.settings import Images, Source, Storage
from pipeline.sources.errors import SourceChanged, SourceError, SourceMismatch, SourceMissing, SourceUnreadable
from pipeline.sources.opening import open_source

DIM = 8


def message(kind: type[SourceError], url: Path | str, **columns: Any) -> str:
    """What opening, listing and reading the source raises."""
    with pytest.raises(kind) as caught:
        read(url, **columns)
    assert str(url).split("*")[0] in str(caught.value)
    return str(caught.value)


def read(url: Path | str, **columns: Any) -> int:
    source = open_source(str(url), Source(**columns), Images(), Storage())
    return sum(len(source.read(part).ids) for part in source.partitions(100))


def vectors(rows: int = 10, dim: int = DIM) -> np.ndarray:
    return np.random.default_rng(4).standard_normal((rows, dim)).astype(np.float32)


def table(rows: int = 10, dim: int = DIM, **columns: Any) -> pa.Table:
    return pa.table(
        {"descriptor": pa.FixedSizeListArray.from_arrays(pa.array(vectors(rows, dim).ravel()), dim), **columns}
    )


def test_nothing_at_the_url(tmp_path: Path) -> None:
    assert "found nothing" in message(SourceMissing, tmp_path / "no-such-folder")
    assert "expected a file" in message(SourceMissing, tmp_path / "missing.npy")
    assert "found nothing" in message(SourceMissing, tmp_path / "*.npy")
    assert "found nothing" in message(SourceMissing, tmp_path / "*")
    assert "found nothing" in message(SourceMissing, tmp_path)


def test_an_unknown_protocol() -> None:
    assert "expected a URL that fsspec can open" in message(SourceMissing, "nosuch://a/b.npy")


def test_an_unsupported_ending_lists_the_supported_ones(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_text("a,b")
    for url in (tmp_path, tmp_path / "faces.csv", tmp_path / "*.csv"):
        text = message(SourceMissing, url)
        assert ".npy, .npz, .parquet" in text
        assert ".jpg" in text
        assert "faces.csv" in text


def test_descriptors_among_photos(tmp_path: Path) -> None:
    np.save(tmp_path / "faces.npy", vectors())
    (tmp_path / "me.jpg").write_bytes(b"")
    for url in (tmp_path, tmp_path / "*"):
        text = message(SourceMismatch, url)
        assert "found both (faces.npy, me.jpg)" in text


def test_no_rows_at_all(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", vectors(0))
    pq.write_table(table(0), tmp_path / "b.parquet")
    assert "got 0 rows in 2 files" in message(SourceMissing, tmp_path)


def test_a_truncated_npy_names_both_sizes(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, vectors())
    data = path.read_bytes()
    path.write_bytes(data[:-7])
    assert f"truncated: expected {len(data)} bytes for float32 (10, 8), got {len(data) - 7}" in message(
        SourceUnreadable, path
    )
    path.write_bytes(data[:20])
    assert "expected an array in NumPy's format, got 20 bytes" in message(SourceUnreadable, path)
    path.write_bytes(b"")
    assert "got 0 bytes" in message(SourceUnreadable, path)
    path.write_bytes(b"not an array at all" * 100)
    assert "expected an array in NumPy's format" in message(SourceUnreadable, path)


def test_truncated_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table(), path)
    data = path.read_bytes()
    path.write_bytes(data[:-9])
    assert f"expected a whole Parquet file (it ends in PAR1 after its footer), got a file of {len(data) - 9} bytes" in (
        message(SourceUnreadable, path)
    )


def test_parquet_with_damaged_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table(), path)
    data = bytearray(path.read_bytes())
    data[4:60] = b"\xff" * 56
    path.write_bytes(data)
    assert "cannot be read" in message(SourceUnreadable, path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_truncated_npz(tmp_path: Path, save: Any) -> None:
    path = tmp_path / "a.npz"
    save(path, descriptor=vectors())
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "expected a whole .npz archive" in message(SourceUnreadable, path)


def test_no_such_column_lists_those_present(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table(id=list(range(10))), path)
    text = message(SourceMismatch, path, vector_column="embedding")
    assert "expected a column 'embedding' (source.vector_column)" in text
    assert "descriptor (fixed_size_list<element: float>[8]), id (int64)" in text
    assert "expected a column 'who' (source.person_column)" in message(SourceMismatch, path, person_column="who")


def test_rows_are_not_numbered_when_the_ids_have_another_name(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table(face_id=list(range(10))), path)
    assert 'set source.id_column=""' in message(SourceMismatch, path)
    assert read(path, id_column="") == 10


def test_no_such_array_lists_those_present(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, one=vectors(), two=vectors())
    assert "it holds: one (10, 8), two (10, 8)" in message(SourceMismatch, path)
    assert "expected an array 'key' (source.id_column)" in message(
        SourceMismatch, path, vector_column="one", id_column="key"
    )


@pytest.mark.parametrize("dtype", ["int64", "complex64", "bool", "U3"])
def test_a_wrong_dtype(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 4)).astype(dtype))
    assert f"expected float16, float32, float64, uint8 or int8 descriptors, got {np.dtype(dtype)}" in message(
        SourceMismatch, tmp_path / "a.npy"
    )


def test_a_column_that_is_no_list(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"descriptor": ["a"], "numbers": pa.array([[1]], pa.list_(pa.int64()))}), tmp_path / "a.parquet"
    )
    assert "expected a list or fixed-size-list column, got string" in message(
        SourceMismatch, tmp_path / "a.parquet", id_column=""
    )
    assert "uint8 or int8 descriptors, got int64" in message(
        SourceMismatch, tmp_path / "a.parquet", id_column="", vector_column="numbers"
    )


def test_bytes_need_a_scale(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 4), np.uint8))
    assert "uint8 descriptors need source.scale and source.zero" in message(SourceMismatch, tmp_path / "a.npy")


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (3, 0)])
def test_a_wrong_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", np.ones(shape, np.float32))
    assert f"expected descriptors of shape (rows, dim), got {shape}" in message(SourceMismatch, tmp_path / "a.npy")


def test_column_order(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.asfortranarray(vectors()))
    assert "save np.ascontiguousarray(x)" in message(SourceMismatch, tmp_path / "a.npy")


def test_files_of_different_dimensions(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", vectors(dim=8))
    np.save(tmp_path / "b.npy", vectors(dim=16))
    text = message(SourceMismatch, tmp_path)
    assert "b.npy: expected dim 8 as in " in text
    assert "a.npy, got 16" in text


def test_files_with_ids_among_files_without(tmp_path: Path) -> None:
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", vectors())
    np.save(tmp_path / "a.id.npy", np.arange(10))
    assert "expected ids_kind 'int'" in message(SourceMismatch, tmp_path)


def test_ids_of_another_number(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", vectors())
    np.save(tmp_path / "a.id.npy", np.arange(9))
    with pytest.raises(SourceMismatch, match=r"a\.id\.npy: expected 10 rows as in .*a\.npy, got 9"):
        read(tmp_path / "a.npy")


@pytest.mark.parametrize("values", [np.array(["a", 1], object), np.array([1.5, 2.5])])
def test_ids_of_a_type_that_names_nothing(tmp_path: Path, values: Any) -> None:
    np.savez(tmp_path / "a.npz", descriptor=vectors(2), id=values)
    assert "expected strings, integers or UUIDs (16 bytes each), got an array of" in message(
        SourceMismatch, tmp_path / "a.npz"
    )


def test_ids_of_a_column_type_that_names_nothing(tmp_path: Path) -> None:
    pq.write_table(table(id=[float(number) for number in range(10)]), tmp_path / "a.parquet")
    assert "expected strings, integers or UUIDs (16 bytes each), got double" in message(
        SourceMismatch, tmp_path / "a.parquet"
    )


def test_ids_that_are_no_text(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", descriptor=vectors(1), id=np.array([b"\xff\xfe"]))
    with pytest.raises(SourceMismatch, match="expected UTF-8 text"):
        read(tmp_path / "a.npz")


def test_a_file_that_is_replaced_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, vectors())
    source = open_source(str(path), Source(), Images(), Storage())
    first, second = source.partitions(5)
    source.read(first)
    np.save(path, vectors(11))
    with pytest.raises(SourceChanged, match="start the build again"):
        source.read(second)
    path.unlink()
    with pytest.raises(SourceChanged, match="now -"):
        source.read(second)


def test_a_file_that_must_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.local import LocalFileSystem

    def refuse(*_: Any, **__: Any) -> bytes:
        raise PermissionError(13, "Permission denied")

    np.save(tmp_path / "a.npy", vectors())
    monkeypatch.setattr(LocalFileSystem, "cat_file", refuse)
    assert "not allowed to read it" in message(SourceUnreadable, tmp_path / "a.npy")
