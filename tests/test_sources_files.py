"""Descriptors from `.npy`, `.npz` and Parquet files on disk."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.settings import Images, Source, Storage
from pipeline.sources import npz_file
from pipeline.sources.files import FileSource
from pipeline.sources.opening import open_source
from pipeline.sources.rows import Rows, joined

ROWS, DIM = 1_000, 24
Array = np.ndarray[Any, Any]


def made(dtype: str = "float32") -> Array:
    rows = np.random.default_rng(3).standard_normal((ROWS, DIM))
    return (rows * 20 + 128).clip(0, 255).astype(dtype) if dtype == "uint8" else rows.astype(dtype)


def unit(rows: Array) -> Array:
    rows = rows.astype(np.float32)
    norms: Array = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return rows / norms[:, None]


def opened(path: Path | str, **columns: Any) -> FileSource:
    source = open_source(str(path), Source(**columns), Images(), Storage())
    assert isinstance(source, FileSource)
    return source


def read_all(source: FileSource, partition_rows: int = 300) -> Rows:
    return joined([source.read(part) for part in source.partitions(partition_rows)], source.listing().dim)


def write_npy(path: Path, rows: Array, **names: Array) -> Path:
    path = path.with_suffix(".npy")
    np.save(path, rows)
    for column, values in names.items():
        np.save(path.with_suffix(f".{column}.npy"), values)
    return path


def write_npz(path: Path, rows: Array, **names: Array) -> Path:
    np.savez(path.with_suffix(".npz"), descriptor=rows, **names)  # type: ignore[arg-type]
    return path.with_suffix(".npz")


def write_compressed(path: Path, rows: Array, **names: Array) -> Path:
    np.savez_compressed(path.with_suffix(".npz"), descriptor=rows, **names)  # type: ignore[arg-type]
    return path.with_suffix(".npz")


def lists(rows: Array, kind: str) -> pa.Array:
    values = pa.array(rows.ravel())
    offsets = np.arange(0, rows.size + 1, rows.shape[1])
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(values, rows.shape[1])
    if kind == "large":
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def parquet_writer(kind: str) -> Callable[..., Path]:
    def write(path: Path, rows: Array, **names: Array) -> Path:
        table = pa.table({"descriptor": lists(rows, kind), **{name: pa.array(names[name]) for name in names}})
        pq.write_table(table, path.with_suffix(".parquet"), row_group_size=170)
        return path.with_suffix(".parquet")

    return write


WRITERS = [write_npy, write_npz, write_compressed, *map(parquet_writer, ("list", "large", "fixed"))]
WRITER_NAMES = ["npy", "npz", "compressed npz", "list", "large list", "fixed-size list"]


@pytest.mark.parametrize("write", WRITERS, ids=WRITER_NAMES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8"])
def test_every_format_gives_the_same_rows(tmp_path: Path, write: Callable[..., Path], dtype: str) -> None:
    rows = made(dtype)
    ids, people = np.array([f"face-{number}" for number in range(ROWS)]), np.arange(ROWS) // 3
    path = write(tmp_path / "faces", rows, id=ids, person=people)
    source = opened(path, scale=0.5, zero=128.0) if dtype == "uint8" else opened(path)
    listing = source.listing()
    assert (listing.rows, listing.dim, listing.ids_kind, listing.has_people) == (ROWS, DIM, "str", True)
    read = read_all(source)
    expected = unit(rows.astype(np.float32) - 128 if dtype == "uint8" else rows)
    np.testing.assert_array_equal(read.descriptors, expected.astype(np.float16))
    assert read.ids == ids.tolist()
    assert read.people == [str(person) for person in people]
    assert read.rejects == ()


@pytest.mark.parametrize("write", WRITERS, ids=WRITER_NAMES)
@pytest.mark.parametrize("partition_rows", [1, 169, 171, ROWS, 10 * ROWS])
def test_the_size_of_partitions_changes_nothing(
    tmp_path: Path, write: Callable[..., Path], partition_rows: int
) -> None:
    rows = made()[:200] if partition_rows == 1 else made()
    source = opened(write(tmp_path / "faces", rows, id=np.arange(len(rows))))
    read, once = read_all(source, partition_rows), read_all(source, ROWS)
    np.testing.assert_array_equal(read.descriptors, once.descriptors)
    assert read.ids == once.ids == list(range(len(rows)))


@pytest.mark.parametrize("write", [WRITERS[0], WRITERS[1], WRITERS[5]], ids=["npy", "npz", "parquet"])
def test_without_ids_a_row_is_known_by_its_number_over_all_files(tmp_path: Path, write: Callable[..., Path]) -> None:
    rows = made()
    for number in range(4):
        write(tmp_path / f"part{number}", rows[number * 250 : (number + 1) * 250])
    source = opened(tmp_path)
    assert source.listing().ids_kind == "row"
    assert len(source.partitions(400)) == 3  # partitions reach over files
    read = read_all(source, 400)
    assert read.ids == list(range(ROWS))
    np.testing.assert_array_equal(read.descriptors, unit(rows).astype(np.float16))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.array([b"\xc3\xa9t\xc3\xa9", b"b"]), "str"),
        (np.array([2**62, -5]), "int"),
        (np.array([7, 9], np.uint8), "int"),
        (np.frombuffer(bytes(range(32)), "V16"), "uuid"),
        (np.frombuffer(bytes(range(32)), np.uint8).reshape(2, 16), "uuid"),
    ],
)
def test_ids_of_arrays(tmp_path: Path, values: Array, kind: str) -> None:
    expected = {
        "str": ["été", "b"],
        "int": [int(v) for v in values] if kind == "int" else [],
        "uuid": [UUID(bytes=bytes(range(16))), UUID(bytes=bytes(range(16, 32)))],
    }[kind]
    for write in (write_npy, write_npz, write_compressed):
        source = opened(write(tmp_path / write.__name__, made()[:2], id=values))
        assert source.listing().ids_kind == kind
        assert read_all(source).ids == expected


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array(["é", "b", "c"]).dictionary_encode(), "str"),
        (pa.array(["é", "b", "c"], pa.large_string()), "str"),
        (pa.array([1, 2**62, -3]), "int"),
        (pa.array([bytes(range(n, n + 16)) for n in range(3)], pa.binary(16)), "uuid"),
        (pa.array([UUID(int=n) for n in range(3)], pa.uuid()), "uuid"),
    ],
)
def test_ids_of_parquet_columns(tmp_path: Path, column: pa.Array, kind: str) -> None:
    table = pa.table({"face_id": column, "vector": lists(made()[:3], "fixed"), "who": ["x", None, "y"]})
    pq.write_table(table, tmp_path / "a.parquet")
    source = opened(tmp_path / "a.parquet", id_column="face_id", vector_column="vector", person_column="who")
    assert source.listing().ids_kind == kind
    read = read_all(source)
    expected = column.to_pylist()
    if pa.types.is_fixed_size_binary(column.type):
        expected = [UUID(bytes=value) for value in expected]
    assert read.ids == expected
    assert read.people == ["x", "", "y"]


def test_rejects_are_listed_with_row_id_and_reason(tmp_path: Path) -> None:
    vectors: list[Any] = made()[:8].tolist()
    vectors[1] = vectors[1][:10]
    vectors[2] = None
    vectors[3][4] = None
    vectors[4][5] = float("nan")
    vectors[5] = [0.0] * DIM
    ids = ["a", "b", "c", "d", "e", "f", None, ""]
    table = pa.table({"id": ids, "descriptor": pa.array(vectors, pa.list_(pa.float32())), "person": list("ABCDEFGH")})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=3)
    source = opened(tmp_path / "a.parquet")
    assert source.listing().dim == DIM
    read = read_all(source, 5)
    assert (read.ids, read.people) == (["a"], ["A"])
    assert [(reject.row, reject.id, reject.reason) for reject in read.rejects] == [
        (1, "b", f"expected {DIM} components, got 10"),
        (2, "c", "expected a descriptor, got null"),
        (3, "d", f"expected numbers, got null in 1 of {DIM} components"),
        (4, "e", f"expected numbers, got NaN or infinity in 1 of {DIM} components"),
        (5, "f", f"expected a direction, got norm 0 (all {DIM} components are 0)"),
        (6, "", "expected an id, got null"),
        (7, "", "expected an id, got an empty string"),
    ]


def test_null_rows_of_a_fixed_size_list_are_rejects(tmp_path: Path) -> None:
    fixed = pa.FixedSizeListArray.from_arrays(
        pa.array(made()[:4].ravel()), DIM, mask=pa.array([False, True, False, False])
    )
    pq.write_table(pa.table({"descriptor": fixed, "id": [1, 2, None, 4]}), tmp_path / "a.parquet")
    read = read_all(opened(tmp_path / "a.parquet"))
    assert read.ids == [1, 4]
    np.testing.assert_array_equal(read.descriptors, unit(made()[[0, 3]]).astype(np.float16))
    assert [(reject.row, reject.reason) for reject in read.rejects] == [
        (1, "expected a descriptor, got null"),
        (2, "expected an id, got null"),
    ]


def test_ids_beyond_int64_are_rejects(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", descriptors=made()[:2], ids=np.array([1, 2**63], np.uint64))
    read = read_all(opened(tmp_path / "a.npz"))
    assert read.ids == [1]
    assert read.rejects[0].reason == f"expected an id of at most {2**63 - 1} (int64), got {2**63}"


def test_lists_of_different_lengths_have_the_most_frequent_one(tmp_path: Path) -> None:
    vectors = [*made()[:5].tolist(), [1.0, 2.0], [1.0, 2.0]]
    pq.write_table(pa.table({"descriptor": vectors}), tmp_path / "a.parquet")
    assert opened(tmp_path / "a.parquet").listing().dim == DIM


def test_an_archive_needs_no_names_when_it_holds_one_table(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", features=made())
    assert opened(tmp_path / "a.npz").listing().rows == ROWS


def test_a_compressed_array_is_unpacked_once_per_process(tmp_path: Path) -> None:
    source = opened(write_compressed(tmp_path / "a", made()))
    npz_file.unpacked.cache_clear()
    read_all(source, 100)
    assert npz_file.unpacked.cache_info().misses == 1


def test_only_the_row_groups_that_are_needed_are_read(tmp_path: Path) -> None:
    """The other groups are overwritten with noise, which no reader could decode."""
    path = parquet_writer("fixed")(tmp_path / "a", made(), id=np.arange(ROWS))
    source = opened(path)
    listing = source.listing()
    group = pq.ParquetFile(path).metadata.row_group(2)
    starts = [group.column(number).data_page_offset for number in range(group.num_columns)]
    first = min(*starts, *(group.column(n).dictionary_page_offset or min(starts) for n in range(group.num_columns)))
    data = bytearray(path.read_bytes())
    data[4:first] = b"\xff" * (first - 4)
    path.write_bytes(data)
    changed = opened(path)
    part = next(part for part in changed.partitions(170) if part.start == 340)
    assert part.stop - part.start == 170 < listing.rows
    np.testing.assert_array_equal(changed.read(part).descriptors, unit(made()[340:510]).astype(np.float16))


def test_globs_pick_files_and_hidden_ones_are_passed_over(tmp_path: Path) -> None:
    for name in ("a1", "a2", "b1", "_old", ".hidden"):
        write_npy(tmp_path / name, made()[:10])
    (tmp_path / "_SUCCESS").write_bytes(b"")
    assert opened(tmp_path / "a*.npy").listing().rows == 20
    assert opened(tmp_path).listing().rows == 30


def test_a_name_with_brackets_is_a_name(tmp_path: Path) -> None:
    assert opened(write_npy(tmp_path / "faces[1]", made())).listing().rows == ROWS


def test_a_source_survives_pickling_and_holds_no_secret(tmp_path: Path) -> None:
    path = write_npy(tmp_path / "a", made())
    source = open_source(str(path), Source(), Images(), Storage(access_key="KEY-1", secret_key="SECRET-2"))
    data = pickle.dumps(source)
    assert b"KEY-1" not in data
    assert b"SECRET-2" not in data
    assert pickle.loads(data).listing() == source.listing()  # noqa: S301


def test_the_fingerprint_changes_with_files_and_meaning_alone(tmp_path: Path) -> None:
    path = write_npy(tmp_path / "a", made(), id=np.arange(ROWS))
    first = opened(path).listing().fingerprint
    assert opened(path, max_reject_share=0.5).listing().fingerprint == first
    assert opened(path, id_column="").listing().fingerprint != first
    np.save(tmp_path / "a.id.npy", np.arange(ROWS) + 10**6)
    assert opened(path).listing().fingerprint != first


def test_the_model_is_known_from_the_files_metadata(tmp_path: Path) -> None:
    table = pa.table({"descriptor": lists(made(), "fixed")}).replace_schema_metadata(
        {"lim.descriptor_version": "net-7"}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert opened(tmp_path / "a.parquet").listing().descriptor_version == "net-7"
