"""What our modules use exists in the real faiss-gpu and cupy wheels; needs the wheels, no driver.

Names are collected from the source, so that none is forgotten: every `faiss.x`, `cupy.x` and `cupyx.x` chain,
every attribute that is read from or set on an object of theirs, and the arguments of every call.
Run by `make test-gpu-contract`, in an environment of its own.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from pathlib import Path

import faiss
import numpy as np
import pytest
from gpu_names import Uses, has, is_there, resolve

ROOT = Path(__file__).parents[1] / "pipeline"
TEXTS = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (*sorted(ROOT.glob("device/*.py")), *sorted(ROOT.glob("search/*.py")))
}

pytestmark = pytest.mark.skipif(
    not hasattr(faiss, "StandardGpuResources") or importlib.util.find_spec("cupy") is None,
    reason="needs the wheels of the `gpu` extra instead of faiss-cpu; run `make test-gpu-contract`",
)


@pytest.fixture(scope="module")
def uses() -> Uses:
    return Uses(TEXTS)


def missing_names(uses: Uses) -> list[str]:
    return [f"{where}: {name}" for name, where in uses.names.items() if not is_there(name)]


def missing_attributes(uses: Uses) -> list[str]:
    return [f"{where}: {kind}.{node.attr}" for where, kind, node in uses.attributes if not has(kind, node.attr)]


def not_settable(uses: Uses) -> list[str]:
    """What is set but is no property: their classes take any name without a word, and nothing happens."""
    written = [(where, kind, node.attr) for where, kind, node in uses.attributes if isinstance(node.ctx, ast.Store)]
    return [
        f"{where}: {kind}.{name}" for where, kind, name in written
        if not isinstance(inspect.getattr_static(resolve(kind), name, None), property)
    ]  # fmt: skip


def misfits(uses: Uses) -> list[str]:
    return [f"{where}: {name}: {why}" for where, name, why in uses.calls() if why]


def test_every_name_of_a_library_exists(uses: Uses) -> None:
    assert not missing_names(uses)
    assert {"faiss.GpuIndexIVFPQ", "faiss.knn_gpu", "cupyx.scatter_add", "cupy.cuda.Device"} <= set(uses.names)


def test_every_attribute_of_their_objects_exists(uses: Uses) -> None:
    assert not missing_attributes(uses)
    used = {f"{kind.partition('.')[2]}.{node.attr}" for _, kind, node in uses.attributes}
    assert {
        "GpuIndexIVFPQConfig.useFloat16LookupTables", "GpuIndexIVFPQConfig.indicesOptions", "InvertedLists.get_codes",
        "GpuIndexFlatConfig.useFloat16", "GpuIndexFlatConfig.use_cuvs", "GpuIndexFlatConfig.device", "IndexIVFPQ.pq",
        "StandardGpuResources.setTempMemory", "StandardGpuResources.getMemoryInfo", "LinearTransform.A",
        "IndexShards.search", "GpuIndexIVFPQ.search_preassigned", "GpuIndexIVFPQ.nprobe", "GpuIndexIVFPQ.add",
        "GpuIndexFlat.search", "ProductQuantizer.assign_index", "ProductQuantizer.M", "IndexShards.add_shard",
        "IndexIVFPQ.replace_invlists", "ndarray.astype", "ndarray.view", "cuda.Device.mem_info",
        "cuda.MemoryPool.free_all_blocks",
    } <= used, "the collector lost some"  # fmt: skip


def test_what_is_set_on_a_configuration_arrives(uses: Uses) -> None:
    assert not not_settable(uses)
    written = {(kind, node.attr) for _, kind, node in uses.attributes if isinstance(node.ctx, ast.Store)}
    ours = {(kind, name) for kind, name in written if kind.endswith("Config")}
    assert len(ours) >= 8
    for kind, name in ours:
        config = resolve(kind)()
        before = getattr(config, name)
        setattr(config, name, type(before)(1 - int(before)))
        assert getattr(config, name) == 1 - int(before), f"{kind}.{name}"


def test_calls_fit_the_signatures_that_python_can_see(uses: Uses) -> None:
    """Functions of the libraries, and methods of their objects, which faiss' Python wraps."""
    assert not misfits(uses)
    checked = {name.rpartition(".")[2] for _, name, why in uses.calls() if why is not None}
    assert {"knn_gpu", "scatter_add", "vector_to_array", "get_default_memory_pool", "asnumpy"} <= checked
    assert {"search_preassigned", "add", "search", "add_shard", "setTempMemory", "train"} <= checked


MISTAKES = {
    "a class": ("faiss.GpuIndexFlatL2(", "faiss.GpuIndexFlatL3(", missing_names),
    "a function of cupy": ("cupy.asnumpy(", "cupy.as_numpy(", missing_names),
    "a keyword": ("vectorsMemoryLimit=", "vectorMemoryLimit=", misfits),
    "what is set on a configuration": ("config.useFloat16 = ", "config.useFloat17 = ", missing_attributes),
    "a configuration of another class": ("config = faiss.GpuIndexIVFPQC", "config = faiss.GpuIndexFlatC", not_settable),
    "a method, its object in a tuple": ("self._parts.search(", "self._parts.seek(", missing_attributes),
    "a method of what a function gives": ("self._codes.search_pre", "self._codes.search_post", missing_attributes),
    "an argument too many": ("depth, cells, nothing)", "depth, cells, nothing, 1)", misfits),
    "an attribute of a field": ("quantiser.cp.seed", "quantiser.cp.seeds", missing_attributes),
    "a field of ours": ("resources.setTempMemory(", "resources.setTemporaryMemory(", missing_attributes),
    "an array's method": (".view(cupy.uint64)", ".as_type(cupy.uint64)", missing_attributes),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_our_modules_is_noticed(mistake: str) -> None:
    old, new, noticed = MISTAKES[mistake]
    assert any(old in text for text in TEXTS.values()), f"{old} is gone: give another example"
    wrong = Uses({name: text.replace(old, new) for name, text in TEXTS.items()})
    assert noticed(wrong)
    assert all(found.startswith("device/") for found in noticed(wrong))


def test_constructors_take_our_arguments_and_fail_for_want_of_a_gpu_alone() -> None:
    """A call that fits no overload is a TypeError; one that fits is a RuntimeError about the device."""
    from pipeline.device import gpu, gpu_serving
    from pipeline.device.gpu_codes import to_gpu, zero_based
    from pipeline.device.gpu_session import Session

    if faiss.get_num_gpus():
        pytest.skip("there is a GPU: the conformance suite runs them")
    session = Session(0, faiss.StandardGpuResources(), 1 << 20)
    codes, rows = zero_based(np.zeros((4, 256, 2), np.float32), 3), np.zeros((5, 8), np.float32)
    for call in (
        lambda: to_gpu(codes, session),
        lambda: gpu_serving._blocks(rows.astype(np.float16), session),
        lambda: gpu_serving._coarse(codes, session),
        lambda: gpu._train(faiss.ProductQuantizer(8, 4, 8), rows, session),
    ):
        with pytest.raises(RuntimeError, match="getNumDevices"):
            call()


def test_cupy_adds_the_numbers_that_we_give_it() -> None:
    import cupy
    import cupyx

    assert "uint64" in cupyx.scatter_add.__doc__
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)
    assert cupy.cuda.nvrtc.getVersion() >= (12, 0)  # compiles its kernels at their first use
    assert isinstance(cupy.cuda.runtime.driverGetVersion(), int)
    assert isinstance(cupy.cuda.runtime.runtimeGetVersion(), int)
    module = Path(cupy.cuda.runtime.__file__).read_bytes()  # to call getDeviceProperties takes a GPU
    assert all(key in module for key in (b"multiProcessorCount", b"totalGlobalMem", b"major", b"minor"))


def test_what_is_missing_is_said() -> None:
    from pipeline.device import gpu_found

    if faiss.get_num_gpus():
        pytest.skip("there is a GPU")
    assert gpu_found.why_not().startswith("faiss finds no GPU: no NVIDIA driver")
    assert gpu_found.identity()["gpu"].startswith("none: faiss finds no GPU")
