"""Exact search block by block finds what NumPy finds, in what the page cache had and nothing more."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import numpy as np
import pytest
from published import unit_rows

from pipeline.artifact import ArtifactCorrupt
from pipeline.search import comparison
from pipeline.search.assembly import RowCoder
from pipeline.search.comparison import PAGE, Comparison

DIM = 64


def stored(path: Path, kind: str, rows: np.ndarray) -> np.ndarray:
    """Write a file of rows; returns them as they can be read back, (n, dim) float32."""
    wide = rows.astype(np.float32)
    coder = RowCoder.train(kind, wide)
    codes = coder.encode(wide)
    with path.open("wb") as file:
        file.write(coder.header(len(rows)) + codes.tobytes())
        os.fsync(file.fileno())  # dirty pages cannot be dropped
    return np.asarray(coder._index().sa_decode(codes))


def queries(count: int) -> np.ndarray:
    return unit_rows(8, count).astype(np.float32)


def compared(path: Path, asked: np.ndarray, k: int, rows: int) -> Comparison:
    exact = Comparison(path, asked, k, rows=rows, dim=DIM)
    while exact.step():
        pass
    return exact


def cached_pages(path: Path) -> int:
    """Pages of a file that the page cache holds."""
    mapped = np.memmap(path, np.uint8, "r")
    held = (ctypes.c_ubyte * -(-len(mapped) // PAGE))()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mincore(ctypes.c_void_p(mapped.ctypes.data), ctypes.c_size_t(len(mapped)), held) == 0
    return sum(one & 1 for one in held)


@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
def test_finds_what_numpy_finds_in_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(comparison, "BLOCK_BYTES", 5_000)
    rows, asked = stored(tmp_path / "rows", kind, unit_rows(1, 997)), queries(7)
    exact = compared(tmp_path / "rows", asked, 10, 997)
    similarities = asked @ rows.T
    best = np.argsort(-similarities, axis=1, kind="stable")[:, :10]
    assert (exact.numbers == best).all()
    assert np.allclose(exact.similarities, np.take_along_axis(similarities, best, axis=1), atol=1e-6)
    assert np.allclose(exact.of(3, np.array([5, 996, 0])), similarities[3, [5, 996, 0]], atol=1e-6)
    assert (exact.of(3, np.array([-1, 997])) == -np.inf).all()
    exact.close()


def test_fewer_rows_than_asked_for(tmp_path: Path) -> None:
    stored(tmp_path / "rows", "float16", unit_rows(1, 3))
    exact = compared(tmp_path / "rows", queries(2), 10, 3)
    assert np.sort(exact.numbers[:, :3], axis=1).tolist() == [[0, 1, 2]] * 2
    assert (exact.numbers[:, 3:] == -1).all()
    exact.close()


def test_a_file_that_becomes_shorter_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    stored(path, "float16", unit_rows(1, 20_000))
    exact = Comparison(path, queries(1), 10, rows=20_000, dim=DIM)
    assert exact.step()
    os.truncate(path, 700_000)
    with pytest.raises(ArtifactCorrupt, match=r"rows: expected \d+ bytes at \d+, got \d+: the file has become shorter"):
        any(not exact.step() for _ in range(100))
    exact.close()


@pytest.fixture
def dropped(tmp_path: Path) -> Path:
    """A file of 6 MB of which the page cache holds nothing."""
    path = tmp_path / "rows"
    stored(path, "float16", unit_rows(1, 50_000))
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if cached_pages(path) > 20:
        pytest.skip("this file system keeps everything in memory")
    return path


def test_what_was_not_cached_is_not_cached_afterwards(dropped: Path) -> None:
    compared(dropped, queries(2), 10, 50_000).close()
    assert cached_pages(dropped) <= 20


def test_what_was_cached_stays(dropped: Path) -> None:
    dropped.read_bytes()
    before = cached_pages(dropped)
    assert before > 1_000
    compared(dropped, queries(2), 10, 50_000).close()
    assert cached_pages(dropped) == before
