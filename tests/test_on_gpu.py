"""Serving from a GPU: over-fetching, re-ranking, falling back; on CPU indexes that stand in for it."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest
from pretend_gpu import pretended

from configs.errors import ConfigError
from pipeline.artifact import FORMAT, ArtifactCorrupt, Descriptor, Ids, Manifest, Memory, Point, Shard, content_digest
from pipeline.device import gpu_session
from pipeline.device.cpu import Cpu
from pipeline.device.gpu_codes import twin
from pipeline.device.threads import pinned
from pipeline.kmeans import spherical
from pipeline.search.assembly import Model, RowCoder, coded_index
from pipeline.search.on_gpu import OnGpu
from pipeline.search.opening import open_index
from pipeline.search.removed import Removed
from pipeline.transform import Spectrum, moment

ROWS, DIM, OUT, CELLS = 3000, 48, 24, 16
POINTS = {"exact": Point(0, 0), "ivfpq": Point(CELLS, 100), "scan": Point(1, 100)}
NO_GPU = gpu_session.why_not()


def gallery(rows: int = ROWS, seed: int = 5) -> np.ndarray:
    generator = np.random.default_rng(seed)
    low = generator.standard_normal((rows, 20)) @ np.random.default_rng(0).standard_normal((20, DIM))
    return (low / np.linalg.norm(low, axis=1, keepdims=True)).astype(np.float16)


def write(folder: Path, recipe: str) -> Manifest:
    rows = gallery()
    wide = rows.astype(np.float32)
    (folder / "ids.dat").write_bytes(bytes(Ids.encode(list(range(ROWS)))))
    if recipe == "exact":
        coder = RowCoder("float16", DIM, np.empty(0, np.float32))
        (folder / "index.dat").write_bytes(coder.header(ROWS) + rows.tobytes())
    else:
        bits = 8 if recipe == "ivfpq" else 4
        with pinned(1):
            transform = Spectrum.of(moment(rows), len(rows)).balanced(OUT, OUT // 2)
            projected = wide @ transform.matrix.T
            codebook = Cpu().train_codes(projected, OUT // 2, bits, seed=1)
            centroids = spherical(projected, CELLS, Cpu(), seed=1) if bits == 8 else np.zeros((1, OUT), np.float32)
            cells = Cpu().nearest(projected, centroids)[0].astype(np.int32)[:, None] if bits == 8 else None
            codes = Cpu().encode(projected, codebook)
            coder = RowCoder.train("int8", wide)
        (folder / "index.dat").write_bytes(
            coded_index(Model(transform.matrix, codebook, centroids), cells, codes).tobytes()
        )
        (folder / "vectors.dat").write_bytes(coder.header(ROWS) + coder.encode(wide).tobytes())
    shards = (Shard(rows=ROWS, files=(), memory=Memory(anonymous=0, mapped=0)),)
    return Manifest(
        format=FORMAT, label="l", index_id="i", created="2026-01-01T00:00:00+00:00", recipe=recipe, parameters={},
        descriptor=Descriptor(version="test", dim=DIM), count=ROWS, point=POINTS[recipe], points=(), quality={},
        delta_seq=0, watermark=None, shards=shards, seed=1, versions={}, forced=False, rejects={},
        content_digest=content_digest(recipe, {}, POINTS[recipe], shards),
    )  # fmt: skip


@pytest.fixture(
    params=["pretended", pytest.param("gpu", marks=[pytest.mark.gpu, pytest.mark.skipif(bool(NO_GPU), reason=NO_GPU)])]
)
def gpu(request: pytest.FixtureRequest):
    if request.param == "gpu":
        yield
    else:
        with pretended():
            yield


def probes(count: int = 60) -> np.ndarray:
    near = gallery()[:count].astype(np.float32) + gallery(count, seed=9).astype(np.float32) * 0.3
    return near / np.linalg.norm(near, axis=1, keepdims=True)


def test_codes_over_zero_centroids_answer_as_the_codes_themselves(tmp_path: Path) -> None:
    """What a GPU gets, searched on the CPU with the same cells probed, against the index that it is made from."""
    write(tmp_path, "ivfpq")
    base = faiss.read_index(str(tmp_path / "index.dat"))
    codes = faiss.downcast_index(base.index)
    other = twin(codes)
    assert other.by_residual
    assert not codes.by_residual
    queries = np.random.default_rng(3).standard_normal((40, OUT)).astype(np.float32)
    codes.nprobe = other.nprobe = 5
    similarities, numbers = codes.search(queries, 12)
    _, cells = codes.quantizer.search(queries, 5)
    theirs, same = other.search_preassigned(queries, 12, cells, np.zeros(cells.shape, np.float32))
    np.testing.assert_allclose(theirs, similarities, atol=1e-5)
    assert (same == numbers).mean() > 0.99


@pytest.mark.parametrize("recipe", ["exact", "ivfpq"])
def test_a_gpu_answers_as_the_cpu_does(
    gpu: None, recipe: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    manifest = write(tmp_path, recipe)
    on_cpu, on_gpu = (open_index(tmp_path, manifest, device=kind) for kind in ("cpu", "gpu"))
    assert isinstance(on_gpu, OnGpu)
    assert "l i is searched on the GPU." in caplog.text
    gone = np.random.default_rng(1).permutation(ROWS)[:900].tolist()
    for removed in (None, Removed.none(ROWS), Removed.none(ROWS).without(gone)):
        similarities, numbers = on_gpu.search(probes(), 10, removed=removed)
        expected, same = on_cpu.search(probes(), 10, removed=removed)
        assert similarities.dtype == np.float32
        np.testing.assert_allclose(similarities, expected, atol=1e-4 if recipe == "exact" else 5e-3)
        assert (numbers == same).mean() > 0.98
    assert not set(gone) & set(numbers.ravel().tolist())
    on_cpu.close()
    on_gpu.close()


def test_few_cells_find_less_and_minus_one_fills_the_rest(gpu: None, tmp_path: Path) -> None:
    manifest = write(tmp_path, "ivfpq")
    index = open_index(tmp_path, manifest, device="gpu")
    similarities, numbers = index.search(probes(), 600, point=Point(1, 600))
    assert (numbers[:, 0] >= 0).all()
    assert (numbers == -1).any()
    assert (similarities[numbers == -1] == -1).all()
    assert (np.diff(similarities, axis=1) <= 0).all()


@pytest.mark.parametrize("recipe", ["exact", "ivfpq"])
def test_where_a_gpu_sees_only_removed_rows_all_are_compared(
    gpu: None, recipe: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = open_index(tmp_path, write(tmp_path, recipe), device="gpu")
    first = probes(1)
    gone = index.search(first, 2500)[1][0].tolist()  # more than a GPU can select: the CPU answered
    assert len(set(gone)) == 2500
    similarities, numbers = index.search(first, 10, removed=Removed.none(ROWS).without(gone))
    assert not set(gone) & set(numbers[0].tolist())
    live_rows = np.setdiff1d(np.arange(ROWS), gone)
    expected = np.sort(gallery()[live_rows].astype(np.float32) @ first[0])[::-1][:10]
    np.testing.assert_allclose(similarities[0], expected, atol=5e-3)
    assert "1 of 1 queries have fewer than 10 live rows among their 2048 nearest" in caplog.text


def test_an_index_larger_than_the_gpu_is_left_to_the_cpu(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with pretended(free=1000):
        index = open_index(tmp_path, write(tmp_path, "exact"), device="gpu")
    assert not isinstance(index, OnGpu)
    assert "is searched on the CPU: exact rows: needs 288,000 bytes" in caplog.text
    assert index.search(probes(), 3)[1].shape == (60, 3)


def test_running_out_of_memory_is_left_to_the_cpu(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    def full(*_: object) -> None:
        raise RuntimeError("Error in allocMemory: CUDA_ERROR_OUT_OF_MEMORY\nmore")

    with pretended(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(faiss, "GpuIndexIVFPQ", full)
        index = open_index(tmp_path, write(tmp_path, "ivfpq"), device="auto")
    assert not isinstance(index, OnGpu)
    assert "which did not suffice: Error in allocMemory: CUDA_ERROR_OUT_OF_MEMORY." in caplog.text


def test_codes_for_cpus_are_left_to_the_cpu(gpu: None, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    index = open_index(tmp_path, write(tmp_path, "scan"), device="gpu")
    assert not isinstance(index, OnGpu)
    assert "no GPU searches the codes of the recipe scan" in caplog.text


@pytest.mark.skipif(not NO_GPU, reason="there is a GPU")
def test_without_a_gpu_auto_takes_the_cpu_and_gpu_is_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    manifest = write(tmp_path, "exact")
    assert not isinstance(open_index(tmp_path, manifest, device="auto"), OnGpu)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [f"l i is searched on the CPU: {NO_GPU}."]
    with pytest.raises(ConfigError, match="expected a GPU because 'gpu' is set, got none"):
        open_index(tmp_path, manifest, device="gpu")


@pytest.mark.parametrize("name", ["index.dat", "vectors.dat"])
def test_damaged_files_are_corrupt_on_a_gpu_too(gpu: None, name: str, tmp_path: Path) -> None:
    manifest = write(tmp_path, "ivfpq")
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:500])
    with pytest.raises(ArtifactCorrupt, match=name):
        open_index(tmp_path, manifest, device="gpu")
