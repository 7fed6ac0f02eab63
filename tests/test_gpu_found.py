"""What a process finds out about its GPUs, says of them, and gives its threads."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest
from pretend_gpu import NAME, forget, pretended

from configs.errors import ConfigError
from pipeline.device import choose, gpu_found
from pipeline.device.cpu import Cpu
from pipeline.device.gpu import Gpu
from pipeline.device.gpu_session import GpuRefused, session
from pipeline.device.versions import platform_versions

NO_GPU = gpu_found.why_not()
without = pytest.mark.skipif(not NO_GPU, reason="there is a GPU")
ROWS = np.eye(6, 8, dtype=np.float32)


def test_a_gpu_is_taken_where_one_answers_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with pretended(gpus=2):
        assert [choose.device("auto").kind for _ in range(3)] == ["gpu"] * 3
        assert choose.device("cpu").kind == "cpu"
    kind = f"{NAME}, compute capability 9.0, 132 multiprocessors"
    assert [record.getMessage() for record in caplog.records] == [f"GPUs: 2 of {kind}."]


@without
def test_without_a_gpu_the_cpu_is_taken_unless_one_is_demanded(caplog: pytest.LogCaptureFixture) -> None:
    """One line in a process, however often a device is asked for."""
    caplog.set_level("INFO")
    forget()
    assert [choose.device("auto").kind for _ in range(3)] == ["cpu"] * 3
    with pytest.raises(ConfigError, match="expected a GPU because 'gpu' is set, got none"):
        choose.device("gpu")
    assert [record.getMessage() for record in caplog.records] == [f"No GPU is used: {NO_GPU}."]


@pytest.mark.parametrize("gpus", [1, 2, 3])
def test_threads_take_the_gpus_by_turns_and_keep_theirs(gpus: int) -> None:
    """Four threads at once: with fewer GPUs than threads some share one, and with it its turns."""
    together = threading.Barrier(4)

    def work(_: int) -> set[int]:
        together.wait(10)
        mine = [choose.device("gpu") for _ in range(5)]
        for one in mine:
            one.nearest(ROWS, ROWS)
        return {one.number for one in mine if isinstance(one, Gpu)}

    with pretended(gpus=gpus), ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(4)))
        assert all(len(one) == 1 for one in found)
        assert set.union(*found) == set(range(gpus))
        assert len({id(session(number).resources) for number in range(gpus)}) == gpus


def test_each_gpu_computes_with_resources_of_its_own() -> None:
    with pretended(gpus=2):
        numbers, _ = Gpu(1).nearest(ROWS, ROWS)
        assert numbers.tolist() == list(range(6))
        assert list(session(1).resources.getMemoryInfo()) == [1]
        assert session(0).resources.getMemoryInfo() == {}
        with pytest.raises(GpuRefused, match=r"GPU 2 does not answer: .*invalid device ordinal"):
            Gpu(2).nearest(ROWS, ROWS)


@pytest.mark.parametrize("verb", ["nearest", "sums", "train_codes", "encode", "knn"])
def test_a_verb_without_room_is_refused_with_both_numbers(verb: str) -> None:
    """The bytes of a build depend on the device: what does not fit must not go to the CPU in silence."""
    rows = np.tile(np.eye(8, dtype=np.float32), (40, 1))
    codebook = Cpu().train_codes(rows, 4, 8, seed=1)
    calls = {
        "nearest": lambda one: one.nearest(rows, rows[:5]),
        "sums": lambda one: one.sums(rows, np.zeros(len(rows), np.int64), 1),
        "train_codes": lambda one: one.train_codes(rows, 4, 8, seed=1),
        "encode": lambda one: one.encode(rows, codebook),
        "knn": lambda one: one.knn(rows, rows, 3),
    }
    with (
        pretended(free=10_000_000),
        pytest.raises(
            GpuRefused, match=r"GPU 0: .*needs [\d,]+ bytes.* and 1,879,048,192 for scratch, free are 10,000"
        ),
    ):
        calls[verb](Gpu())


def test_what_fails_all_the_same_is_refused_by_its_first_line_and_lets_go_of_the_gpu() -> None:
    def full(*_: object) -> None:
        raise RuntimeError("alloc fail: cudaMalloc error out of memory\nmore")

    with pretended(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(faiss, "knn_gpu", lambda *_, **__: full())
        with pytest.raises(GpuRefused, match=r"exact neighbours: .* yet it failed: alloc fail: .* out of memory$"):
            Gpu().knn(ROWS, ROWS, 2)
        assert not session(0).lock.locked()


def test_the_scratch_is_counted_until_faiss_has_it() -> None:
    with pretended(free=2 << 30):
        assert Gpu().sums(ROWS, np.zeros(6, np.int64), 60_000)[1][0] == 6
        with pytest.raises(GpuRefused, match="partial sums"):
            Gpu().sums(ROWS, np.zeros(6, np.int64), 6_000_000)
        Gpu().nearest(ROWS, ROWS)
        assert Gpu().sums(ROWS, np.zeros(6, np.int64), 6_000_000)[1][0] == 6


def test_asking_for_a_gpu_takes_nothing_of_it() -> None:
    """A parent process that held a context would keep its worker from a GPU that serves one process."""
    with pretended(gpus=2), pytest.MonkeyPatch.context() as patch:
        import cupy

        patch.setattr(cupy.cuda, "Device", failing)
        assert choose.device("auto").kind == "gpu"
        assert "gpu" in platform_versions("gpu")
        with pytest.raises(GpuRefused, match=r"GPU . does not answer: cudaErrorDevicesUnavailable$"):
            choose.device("gpu").nearest(ROWS, ROWS)


def test_versions_of_a_gpu_pin_what_its_floats_depend_on() -> None:
    with pretended(gpus=2):
        found = platform_versions("gpu")
    assert found["gpu"] == f"{NAME}, compute capability 9.0, 132 multiprocessors"
    assert found["scratch"] == str(1536 << 20)
    assert found["cuda"] == "driver 12040, runtime 12090"
    assert "libraries" in found
    assert platform_versions("cpu").items() <= found.items()
    with pretended(gpus=("Another GPU",)):
        assert platform_versions("gpu") != found


@without
def test_a_worker_without_a_gpu_differs_from_every_one_that_has_one() -> None:
    forget()
    assert platform_versions("gpu")["gpu"] == f"none: {NO_GPU}"
    assert "gpu" not in platform_versions()


def test_gpus_of_several_kinds_are_not_used_together() -> None:
    with pretended(gpus=("A", "B", "A")):
        assert gpu_found.why_not().startswith("GPUs of several kinds (A, compute capability 9.0")
        assert choose.device("auto").kind == "cpu"


def test_every_reason_for_no_gpu_is_said() -> None:
    with pretended(), pytest.MonkeyPatch.context() as patch:
        assert gpu_found.why_not() == ""
        import cupy

        patch.setattr(cupy.cuda.runtime, "getDeviceProperties", failing)
        assert gpu_found.why_not() == "the driver does not answer: cudaErrorDevicesUnavailable"
        patch.setattr(cupy, "is_available", lambda: False)
        assert "but cupy does not" in gpu_found.why_not()
        patch.setattr(faiss, "get_num_gpus", lambda: 0)
        assert "faiss finds no GPU" in gpu_found.why_not()
        patch.setitem(sys.modules, "cupy", None)
        assert "cupy cannot be imported" in gpu_found.why_not()
        patch.delattr(faiss, "StandardGpuResources")
        assert "without GPU support" in gpu_found.why_not()


def failing(_: object) -> None:
    raise RuntimeError("cudaErrorDevicesUnavailable\nmore")
