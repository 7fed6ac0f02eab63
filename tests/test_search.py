"""Opening and searching, per recipe, on a small published-like folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.artifact import (
    ArtifactCorrupt,
    Descriptor,
    File,
    Ids,
    Manifest,
    Memory,
    Point,
    Shard,
    content_digest,
)
from pipeline.device.cpu import Cpu
from pipeline.device.threads import pinned
from pipeline.kmeans import spherical
from pipeline.recipes.spill import second
from pipeline.search.assembly import Model, RowCoder, coded_index
from pipeline.search.opening import open_index
from pipeline.search.removed import Removed
from pipeline.transform import Spectrum, moment

ROWS, DIM, OUT, CELLS = 3000, 64, 32, 16
RECIPES = ("exact", "scan", "cells", "double")
"""The last: cells of which each row is in two, re-ranked from float32."""
POINTS = {"exact": Point(0, 0), "scan": Point(1, 200), "cells": Point(CELLS, 200), "double": Point(CELLS, 200)}


def gallery() -> np.ndarray:
    generator = np.random.default_rng(5)
    low = generator.standard_normal((ROWS, 24)) @ generator.standard_normal((24, DIM))
    return (low / np.linalg.norm(low, axis=1, keepdims=True)).astype(np.float16)


def write(folder: Path, recipe: str, rows: np.ndarray) -> Manifest:
    """The three files of a shard, as the build's stages make them."""
    folder.mkdir(parents=True)
    wide = rows.astype(np.float32)
    (folder / "ids.dat").write_bytes(bytes(Ids.encode([f"face-{number}" for number in range(len(rows))])))
    if recipe == "exact":
        coder = RowCoder("float16", DIM, np.empty(0, np.float32))
        (folder / "index.dat").write_bytes(coder.header(len(rows)) + rows.tobytes())
    else:
        with pinned(1):
            transform = Spectrum.of(moment(rows), len(rows)).balanced(OUT, OUT // 2)
            projected = wide @ transform.matrix.T
            codebook = Cpu().train_codes(projected, OUT // 2, 4, seed=1)
            count = 1 if recipe == "scan" else CELLS
            centroids = spherical(projected, count, Cpu(), seed=1) if count > 1 else np.zeros((1, OUT), np.float32)
            cells = second(projected, centroids, Cpu()) if count > 1 else None
            if cells is not None and recipe == "cells":
                cells = cells[:, :1]
            codes = Cpu().encode(projected, codebook)
            coder = RowCoder.train("float32" if recipe == "double" else "int8", wide)
        (folder / "index.dat").write_bytes(
            coded_index(Model(transform.matrix, codebook, centroids), cells, codes).tobytes()
        )
        (folder / "vectors.dat").write_bytes(coder.header(len(rows)) + coder.encode(wide).tobytes())
    files = tuple(File.of(f"shards/0000/{path.name}", path.read_bytes()) for path in sorted(folder.iterdir()))
    shards = (Shard(rows=len(rows), files=files, memory=Memory(anonymous=0, mapped=0)),)
    kind, parameters = ("cells", {"assignments": 2}) if recipe == "double" else (recipe, {})
    return Manifest(
        format=1, label="l", index_id="i", created="2026-01-01T00:00:00+00:00", recipe=kind, parameters=parameters,
        descriptor=Descriptor(version="test", dim=DIM), count=len(rows), point=POINTS[recipe], points=(), quality={},
        delta_seq=0, watermark=None, shards=shards, seed=1, versions={}, forced=False, rejects={},
        content_digest=content_digest(kind, parameters, POINTS[recipe], shards),
    )  # fmt: skip


@pytest.fixture(scope="module", params=RECIPES)
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("index") / "shard"
    opened = open_index(folder, write(folder, request.param, gallery()))
    yield opened
    opened.close()


def test_answers_are_those_of_exact_search(index) -> None:
    rows = gallery().astype(np.float32)
    queries = rows[:100] + np.random.default_rng(1).standard_normal((100, DIM)).astype(np.float32) * 0.02
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    similarities, numbers = index.search(queries, 10)
    truth = np.sort(queries @ rows.T, axis=1)[:, ::-1][:, :10]
    assert similarities.dtype == np.float32
    assert numbers.dtype == np.int64
    tolerance = 1e-5 if index.manifest.recipe == "exact" else 5e-3
    assert np.abs(similarities - truth).max() < tolerance
    assert (numbers[:, 0] == np.arange(100)).mean() > 0.98
    assert index.ids[int(numbers[3, 0])] == f"face-{numbers[3, 0]}"


def test_removed_rows_never_come_back(index) -> None:
    queries = gallery()[:1].astype(np.float32)
    _, before = index.search(queries, 200)
    removed = Removed.none(index.rows).without(before[0].tolist())
    assert removed.count == 200
    _, after = index.search(queries, 200, removed=removed)
    assert not set(before[0]) & set(after[0])
    assert (after >= 0).all()


def test_more_than_there_is_comes_back_as_minus_one(index) -> None:
    removed = Removed.none(index.rows).without(range(5, index.rows))
    similarities, numbers = index.search(gallery()[:2].astype(np.float32), 10, removed=removed)
    assert set(numbers[0][:5].tolist()) == set(range(5))
    assert (numbers[:, 5:] == -1).all()
    assert (similarities[:, 5:] == -1.0).all()


def test_depth_below_k_still_gives_k(index) -> None:
    _, numbers = index.search(gallery()[:3].astype(np.float32), 50, point=Point(CELLS, 5))
    assert (numbers >= 0).all()


@pytest.mark.parametrize("shape", [(3, DIM + 1), (DIM,)])
def test_wrong_queries_are_refused_by_shape(index, shape) -> None:
    with pytest.raises(ValueError, match=rf"expected \(n, {DIM}\) float32"):
        index.search(np.zeros(shape, np.float32), 1)


@pytest.mark.parametrize("recipe", RECIPES)
def test_foreign_and_truncated_files_are_corrupt(recipe: str, tmp_path: Path) -> None:
    manifest = write(tmp_path / "good", recipe, gallery())
    whole = (tmp_path / "good" / "index.dat").read_bytes()
    for damaged in (b"not an index at all, but long enough", b"", whole[: len(whole) // 2]):
        (tmp_path / "good" / "index.dat").write_bytes(damaged)
        with pytest.raises(ArtifactCorrupt, match=r"index\.dat"):
            open_index(tmp_path / "good", manifest)


def test_an_index_of_another_recipe_is_corrupt(tmp_path: Path) -> None:
    manifest = write(tmp_path / "scan", "scan", gallery())
    write(tmp_path / "exact", "exact", gallery())
    (tmp_path / "scan" / "index.dat").write_bytes((tmp_path / "exact" / "index.dat").read_bytes())
    with pytest.raises(ArtifactCorrupt, match="expected IndexPreTransform, got IndexScalarQuantizer"):
        open_index(tmp_path / "scan", manifest)


def test_removing_outside_the_index_is_an_error() -> None:
    with pytest.raises(IndexError, match="expected 0 to 9, got 3 to 10"):
        Removed.none(10).without([3, 10])


def test_rows_in_float16_are_the_rows_themselves() -> None:
    rows = gallery()
    coder = RowCoder("float16", DIM, np.empty(0, np.float32))
    assert coder.encode(rows.astype(np.float32)).tobytes() == rows.tobytes()


@pytest.mark.parametrize("nprobe", [2, 5, CELLS])
def test_a_row_in_two_cells_is_answered_once(tmp_path: Path, nprobe: int) -> None:
    """The same rows, in the same order, as a search that asks for more and drops what comes twice."""
    opened = open_index(tmp_path / "shard", write(tmp_path / "shard", "double", gallery()))
    queries = gallery()[:50].astype(np.float32)
    similarities, numbers = opened.search(queries, 20, point=Point(nprobe, 400))
    rows = gallery().astype(np.float32)
    for query, found, values in zip(queries, numbers, similarities, strict=True):
        assert len(set(found)) == 20
        assert np.abs(rows[found] @ query - values).max() < 1e-5
        assert (np.diff(values) <= 0).all()
    if nprobe == CELLS:
        truth = np.sort(queries @ rows.T, axis=1)[:, ::-1][:, :20]
        assert np.abs(similarities - truth).max() < 1e-5
    opened.close()


def test_the_second_cell_is_not_the_first_and_spreads(tmp_path: Path) -> None:
    """Among the nearest cells, and on average at a wider angle to the first residual than the second nearest."""
    rows = gallery().astype(np.float32)
    centroids = spherical(rows, 64, Cpu(), seed=1)
    both = second(rows, centroids, Cpu())
    assert (both[:, 0] != both[:, 1]).all()
    near = np.argsort(-rows @ centroids.T, axis=1)
    assert (both[:, 0] == near[:, 0]).mean() > 0.999
    assert (both[:, 1:] == near[:, 1:8]).any(axis=1).all()

    def cosines(other: np.ndarray) -> float:
        first, later = rows - centroids[both[:, 0]], rows - centroids[other]
        norms = np.linalg.norm(first, axis=1) * np.linalg.norm(later, axis=1)
        return float(np.abs((first * later).sum(axis=1) / norms).mean())

    assert cosines(both[:, 1]) < cosines(near[:, 1])
