"""Serving from a GPU: over-fetching, re-ranking, falling back; on CPU indexes that stand in for it."""

from __future__ import annotations

import functools
import gc
import weakref
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import faiss
import numpy as np
import pytest
from pretend_gpu import FREE, forget, pretended

from configs.errors import ConfigError
from pipeline.artifact import FORMAT, ArtifactCorrupt, Descriptor, Ids, Manifest, Memory, Point, Shard, content_digest
from pipeline.device import gpu_found
from pipeline.device.cpu import Cpu
from pipeline.device.gpu_codes import twin
from pipeline.device.threads import pinned
from pipeline.kmeans import spherical
from pipeline.search.assembly import Model, RowCoder, coded_index
from pipeline.search.on_gpu import OnGpu
from pipeline.search.opening import open_index
from pipeline.search.removed import Removed
from pipeline.transform import Spectrum, moment

ROWS, DIM, OUT, GROUPS, CELLS = 3000, 48, 24, 12, 16
POINTS = {"exact": Point(0, 0), "ivfpq": Point(CELLS, 100), "scan": Point(1, 100)}
NO_GPU = gpu_found.why_not()


def gallery(rows: int = ROWS, seed: int = 5) -> np.ndarray:
    generator = np.random.default_rng(seed)
    low = generator.standard_normal((rows, 20)) @ np.random.default_rng(0).standard_normal((20, DIM))
    return (low / np.linalg.norm(low, axis=1, keepdims=True)).astype(np.float16)


@functools.cache
def trained(recipe: str) -> tuple[Model, np.ndarray, np.ndarray | None, RowCoder]:
    """A coded recipe over the gallery: model, codes, cells, the coder of what re-ranks."""
    rows, bits = gallery(), 8 if recipe == "ivfpq" else 4
    wide = rows.astype(np.float32)
    with pinned(1):
        transform = Spectrum.of(moment(rows), len(rows)).balanced(OUT, GROUPS)
        projected = wide @ transform.matrix.T
        codebook = Cpu().train_codes(projected, GROUPS, bits, seed=1)
        centroids = spherical(projected, CELLS, Cpu(), seed=1) if bits == 8 else np.zeros((1, OUT), np.float32)
        cells = Cpu().nearest(projected, centroids)[0].astype(np.int32)[:, None] if bits == 8 else None
        codes = Cpu().encode(projected, codebook)
        return Model(transform.matrix, codebook, centroids), codes, cells, RowCoder.train("int8", wide)


def write(folder: Path, recipe: str, shards: int = 1) -> Manifest:
    """The files of each shard, in folders of their own where there are several."""
    bounds = [ROWS * shard // shards for shard in range(shards + 1)]
    for shard, part in enumerate(slice(*pair) for pair in pairwise(bounds)):
        home = folder / f"{shard:04d}" if shards > 1 else folder
        home.mkdir(exist_ok=True)
        rows, count = gallery()[part], part.stop - part.start
        (home / "ids.dat").write_bytes(bytes(Ids.encode(list(range(part.start, part.stop)))))
        if recipe == "exact":
            coder = RowCoder("float16", DIM, np.empty(0, np.float32))
            (home / "index.dat").write_bytes(coder.header(count) + rows.tobytes())
            continue
        model, codes, cells, coder = trained(recipe)
        index = coded_index(model, None if cells is None else cells[part], codes[part])
        (home / "index.dat").write_bytes(index.tobytes())
        (home / "vectors.dat").write_bytes(coder.header(count) + coder.encode(rows.astype(np.float32)).tobytes())
    return manifest_of(recipe, [after - before for before, after in pairwise(bounds)])


def manifest_of(recipe: str, rows: list[int]) -> Manifest:
    parts = tuple(Shard(rows=count, files=(), memory=Memory(anonymous=0, mapped=0)) for count in rows)
    its = {"out": OUT, "groups": GROUPS, "bits": 8, "nlist": CELLS} if recipe == "ivfpq" else {}
    return Manifest(
        format=FORMAT, label="l", index_id="i", created="2026-01-01T00:00:00+00:00", recipe=recipe, parameters=its,
        descriptor=Descriptor(version="test", dim=DIM), count=sum(rows), point=POINTS[recipe], points=(), quality={},
        delta_seq=0, watermark=None, shards=parts, seed=1, versions={}, forced=False, rejects={},
        content_digest=content_digest(recipe, its, POINTS[recipe], parts),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    with pinned(1):
        yield


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
    assert "l i shard 0 is searched on GPU 0: " in caplog.text
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


@pytest.mark.parametrize("recipe", ["exact", "ivfpq"])
def test_shards_are_spread_over_the_gpus(recipe: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Shard s on GPU s modulo three, each found again by its own numbers; together they answer as one index does."""
    caplog.set_level("INFO")
    manifest = write(tmp_path, recipe, shards=4)
    with pretended(gpus=3):
        parts = [open_index(tmp_path / f"{shard:04d}", manifest, shard, device="gpu") for shard in range(4)]
        places = [record.getMessage().split(":")[0] for record in caplog.records][1:]
        assert places == [f"l i shard {shard} is searched on GPU {shard % 3}" for shard in range(4)]
        found = [part.search(probes(), 10, point=Point(CELLS, 200)) for part in parts]
    similarities = np.concatenate([one for one, _ in found], axis=1)
    merged = np.take_along_axis(similarities, np.argsort(-similarities, axis=1)[:, :10], axis=1)
    exact = -np.sort(-(probes() @ gallery().astype(np.float32).T), axis=1)[:, :10]
    np.testing.assert_allclose(merged, exact, atol=1e-4 if recipe == "exact" else 5e-3)
    assert all((numbers < 750).all() for _, numbers in found)


def test_a_shard_goes_to_the_next_gpu_that_has_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    manifest = write(tmp_path, "exact", shards=2)
    with pretended(free=(FREE, 1000, FREE), gpus=3):
        open_index(tmp_path / "0001", manifest, 1, device="gpu").search(probes(), 3)
    assert "l i shard 1 is searched on GPU 2: " in caplog.text


def test_a_shard_goes_past_a_gpu_that_does_not_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    manifest = write(tmp_path, "exact")
    with pretended(gpus=2), pytest.MonkeyPatch.context() as patch:
        free = gpu_found.memory

        def dead(number: int) -> int:
            if number == 0:
                raise RuntimeError("cudaErrorECCUncorrectable")
            return free(number)

        patch.setattr(gpu_found, "memory", dead)
        assert isinstance(open_index(tmp_path, manifest, device="gpu"), OnGpu)
        assert "l i shard 0 is searched on GPU 1: " in caplog.text
        patch.setattr(faiss, "get_num_gpus", lambda: 1)
        assert not isinstance(open_index(tmp_path, manifest, device="gpu"), OnGpu)
    assert caplog.records[-1].getMessage().endswith(": GPU 0 does not answer: cudaErrorECCUncorrectable.")


def test_an_index_larger_than_the_gpus_is_left_to_the_cpu(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By the manifest alone: no file was read for it, nothing put on a GPU."""
    caplog.set_level("INFO")
    manifest = write(tmp_path, "exact")
    with pretended(free=1000, gpus=2), pytest.MonkeyPatch.context() as patch:
        patch.delattr(faiss, "GpuIndexFlat")
        index = open_index(tmp_path, manifest, device="gpu")
    assert not isinstance(index, OnGpu)
    said = caplog.records[-1].getMessage()
    assert "GPU 0: l i shard 0: needs 312,000 bytes (rows 288,000, norms 24,000) and " in said
    assert "; GPU 1: l i shard 0: needs" in said
    assert said.endswith("free are 1,000.")
    assert index.search(probes(), 3)[1].shape == (60, 3)


def test_running_out_of_memory_is_left_to_the_cpu(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    def full(*_: object) -> None:
        raise RuntimeError("Error in allocMemory: CUDA_ERROR_OUT_OF_MEMORY\nmore")

    with pretended(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(faiss, "GpuIndexIVFPQ", full)
        index = open_index(tmp_path, write(tmp_path, "ivfpq"), device="auto")
    assert not isinstance(index, OnGpu)
    assert "yet it failed: Error in allocMemory: CUDA_ERROR_OUT_OF_MEMORY." in caplog.text


def test_a_closed_index_leaves_the_gpu(tmp_path: Path) -> None:
    with pretended():
        index = open_index(tmp_path, write(tmp_path, "exact"), device="gpu")
        assert isinstance(index, OnGpu)
        block = weakref.ref(index._candidates._blocks[0])  # type: ignore[attr-defined]
        index.close()
        gc.collect()
        assert block() is None


def test_codes_for_cpus_are_left_to_the_cpu_and_that_is_said_once(
    gpu: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    manifest = write(tmp_path, "scan")
    for _ in range(3):
        assert not isinstance(open_index(tmp_path, manifest, device="gpu"), OnGpu)
    assert caplog.text.count("Searched on the CPU, although there is a GPU: indexes of the recipe scan") == 1


@pytest.mark.skipif(not NO_GPU, reason="there is a GPU")
def test_without_a_gpu_auto_takes_the_cpu_and_gpu_is_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    forget()
    manifest = write(tmp_path, "exact")
    for _ in range(3):
        assert not isinstance(open_index(tmp_path, manifest, device="auto"), OnGpu)
    assert [record.getMessage() for record in caplog.records] == [f"No GPU is used: {NO_GPU}."]
    with pytest.raises(ConfigError, match="expected a GPU because 'gpu' is set, got none"):
        open_index(tmp_path, manifest, device="gpu")


def test_a_manifest_without_what_a_plan_needs_is_corrupt(tmp_path: Path) -> None:
    manifest = replace(write(tmp_path, "ivfpq"), parameters={"out": OUT})
    with pretended(), pytest.raises(ArtifactCorrupt, match=r"meta.json: expected the parameter 'groups' of ivfpq"):
        open_index(tmp_path, manifest, device="gpu")


@pytest.mark.parametrize("name", ["index.dat", "vectors.dat"])
def test_damaged_files_are_corrupt_on_a_gpu_too(gpu: None, name: str, tmp_path: Path) -> None:
    manifest = write(tmp_path, "ivfpq")
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:500])
    with pytest.raises(ArtifactCorrupt, match=name):
        open_index(tmp_path, manifest, device="gpu")
