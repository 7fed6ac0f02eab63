"""What our GPU modules use exists in the real faiss-gpu and cupy wheels; needs the wheels, no driver.

Names are collected from the source, so that none is forgotten: every `faiss.x`, `cupy.x` and `cupyx.x`
chain, every attribute of an object that was made by such a class, and the arguments of every call.
Run by `make test-gpu-contract`, in an environment of its own.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import pytest

ROOT = Path(__file__).parents[1] / "pipeline"
MODULES = (
    *sorted(ROOT.glob("device/gpu*.py")),
    *(ROOT / "search" / name for name in ("on_gpu.py", "overfetch.py", "stored.py", "removed.py", "codes.py")),
    ROOT / "device" / "cpu.py",
)
LIBRARIES = ("faiss", "cupy", "cupyx")
RETURNS = {
    "index_gpu_to_cpu": "IndexIVFPQ", "zero_based": "IndexIVFPQ", "twin": "IndexIVFPQ", "to_gpu": "GpuIndexIVFPQ",
    "product_quantiser": "ProductQuantizer", "downcast_index": "IndexIVFPQ",
    "downcast_VectorTransform": "LinearTransform", "read_index": "IndexScalarQuantizer",
}  # fmt: skip
"""What functions give back."""

FIELDS = {
    "pq": "ProductQuantizer", "cp": "ClusteringParameters", "sq": "ScalarQuantizer", "invlists": "InvertedLists",
    "quantizer": "IndexFlat", "chain": "std_vector_VectorTransform", "lists": "InvertedLists",
}  # fmt: skip
"""What fields of their objects hold."""

pytestmark = pytest.mark.skipif(
    not hasattr(faiss, "StandardGpuResources") or importlib.util.find_spec("cupy") is None,
    reason="needs the wheels of the `gpu` extra instead of faiss-cpu; run `make test-gpu-contract`",
)


def chain(node: ast.AST) -> tuple[str, ...]:
    """('faiss', 'IndexFlat') for `faiss.IndexFlat`; empty for what does not begin with a name."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute) and (before := chain(node.value)):
        return (*before, node.attr)
    return ()


def nodes(kind: type[ast.AST]) -> Iterator[tuple[str, Any]]:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, kind):
                yield f"{path.name}:{getattr(node, 'lineno', 0)}", node


def library_names() -> dict[tuple[str, ...], str]:
    """Every chain that begins at a library, with one place where it is used; prefixes are chains of their own."""
    return {
        found: where for where, node in nodes(ast.Attribute) if (found := chain(node))[:1] and found[0] in LIBRARIES
    }


def resolve(names: tuple[str, ...]) -> Any:
    value: Any = __import__(names[0])
    for name in names[1:]:
        value = getattr(value, name)
    return value


def class_of(node: ast.AST | None) -> str:
    """The faiss class of an annotation, or of what a call gives; "" when it is none."""
    if isinstance(node, ast.Call):
        called = chain(node.func) or ("",)
        return RETURNS.get(called[-1]) or (called[-1] if called[0] == "faiss" else "")
    if isinstance(node, ast.Attribute) and node.attr in FIELDS:
        return FIELDS[node.attr]
    names = chain(node) if node is not None else ()
    return names[1] if len(names) == 2 and names[0] == "faiss" else ""


def typed_objects(scope: ast.AST) -> dict[tuple[str, ...], str]:
    """Variables, parameters and attributes of self in a class or function whose faiss class is known."""
    known = {}
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign):
            known |= {chain(target): class_of(node.value) for target in node.targets if chain(target)}
        elif isinstance(node, ast.arg):
            known[(node.arg,)] = class_of(node.annotation)
    whole = isinstance(scope, ast.ClassDef)  # of a class only what lies in self: its methods' variables are not shared
    return {
        names: kind
        for names, kind in known.items()
        if inspect.isclass(getattr(faiss, kind or "-", None)) and (not whole or names[0] == "self")
    }


def object_attributes() -> dict[tuple[str, str], str]:
    """(class, attribute) of every use of an attribute of a known object."""
    used = {}
    for where, scope in (*nodes(ast.ClassDef), *nodes(ast.FunctionDef)):
        known = typed_objects(scope)
        for node in ast.walk(scope):
            if not isinstance(node, ast.Attribute):
                continue
            kind = known.get(chain(node.value)) or (
                class_of(node.value) if isinstance(node.value, ast.Attribute) else ""
            )
            if inspect.isclass(getattr(faiss, kind or "-", None)):
                used[kind, node.attr] = where
    return used


def test_every_name_of_a_library_exists() -> None:
    names = library_names()
    missing = []
    for found, where in names.items():
        try:
            resolve(found)
        except AttributeError:
            missing.append(f"{where}: {'.'.join(found)}")
    assert not missing
    assert {
        ("faiss", "GpuIndexIVFPQ"),
        ("faiss", "knn_gpu"),
        ("cupyx", "scatter_add"),
        ("cupy", "cuda", "Device"),
    } <= set(names)


def test_every_attribute_of_their_objects_exists() -> None:
    used = object_attributes()
    assert not [
        f"{where}: {kind}.{name}" for (kind, name), where in used.items() if not hasattr(getattr(faiss, kind), name)
    ]
    for wanted in (
        ("GpuIndexIVFPQConfig", "useFloat16LookupTables"), ("GpuIndexIVFPQConfig", "indicesOptions"),
        ("GpuIndexFlatConfig", "useFloat16"), ("GpuIndexFlatConfig", "use_cuvs"), ("ProductQuantizer", "M"),
        ("StandardGpuResources", "setTempMemory"), ("InvertedLists", "get_codes"), ("LinearTransform", "A"),
        ("GpuIndexIVFPQ", "search_preassigned"), ("GpuIndexIVFPQ", "nprobe"), ("GpuIndexIVFPQ", "add"),
        ("GpuIndexFlat", "search"), ("ProductQuantizer", "assign_index"), ("IndexIVFPQ", "replace_invlists"),
        ("IndexShards", "add_shard"),
    ):  # fmt: skip
        assert wanted in used, f"the collector lost {wanted}"


def test_calls_fit_the_signatures_that_python_can_see() -> None:
    checked = set()
    for where, node in nodes(ast.Call):
        names = chain(node.func)
        if names[:1] and names[0] in LIBRARIES and not inspect.isclass(resolve(names)):
            try:
                signature = inspect.signature(resolve(names))
                signature.bind(*node.args, **{one.arg: one.value for one in node.keywords})
            except ValueError:  # built-in functions have no signature
                continue
            except TypeError as error:
                pytest.fail(f"{where}: {'.'.join(names)}: {error}")
            checked.add(names[-1])
    assert {"knn_gpu", "scatter_add", "vector_to_array", "get_default_memory_pool", "asnumpy"} <= checked


def test_methods_that_python_wraps_take_our_arguments() -> None:
    one: Any = object()
    inspect.signature(faiss.GpuIndexIVFPQ.search_preassigned).bind(one, one, 5, one, one)
    inspect.signature(faiss.GpuIndexIVFPQ.add).bind(one, one)
    inspect.signature(faiss.GpuIndexFlat.search).bind(one, one, 5)
    inspect.signature(faiss.IndexShards.search).bind(one, one, 5)


def test_resources_and_configurations_can_be_made() -> None:
    faiss.StandardGpuResources().setTempMemory(1 << 20)
    config = faiss.GpuIndexIVFPQConfig()
    config.device, config.use_cuvs, config.indicesOptions = 0, False, faiss.INDICES_32_BIT
    config.usePrecomputedTables, config.useFloat16LookupTables = False, True
    assert config.useFloat16LookupTables is True
    assert config.indicesOptions == faiss.INDICES_32_BIT
    flat = faiss.GpuIndexFlatConfig()
    flat.useFloat16 = True
    assert flat.useFloat16 is True


def test_constructors_take_our_arguments_and_fail_for_want_of_a_gpu_alone() -> None:
    """A call that fits no overload is a TypeError; one that fits is a RuntimeError about the device."""
    from pipeline.device.gpu_codes import to_gpu, zero_based
    from pipeline.device.gpu_session import Session

    if faiss.get_num_gpus():
        pytest.skip("there is a GPU: the conformance suite runs them")
    import numpy as np

    session = Session(faiss.StandardGpuResources(), 0)
    config = faiss.GpuIndexFlatConfig()
    with pytest.raises(RuntimeError, match="getNumDevices"):
        faiss.GpuIndexFlat(session.resources, 8, faiss.METRIC_INNER_PRODUCT, config)
    with pytest.raises(RuntimeError, match="getNumDevices"):
        faiss.GpuIndexFlatL2(session.resources, 8, config)
    with pytest.raises(RuntimeError, match="getNumDevices"):
        to_gpu(zero_based(np.zeros((4, 256, 2), np.float32), 3), session)


def test_cupy_has_what_we_ask_its_objects_for() -> None:
    import cupy
    import cupyx

    assert "uint64" in cupyx.scatter_add.__doc__
    assert hasattr(cupy.cuda.Device, "mem_info")
    assert callable(cupy.get_default_memory_pool().free_all_blocks)  # to call it takes a driver
    for name in ("astype", "view", "shape"):
        assert hasattr(cupy.ndarray, name)


def test_what_is_missing_is_said() -> None:
    from pipeline.device import gpu_session

    if faiss.get_num_gpus():
        pytest.skip("there is a GPU")
    assert gpu_session.why_not().startswith("faiss finds no GPU: no NVIDIA driver")
