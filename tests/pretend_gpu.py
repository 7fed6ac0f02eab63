"""A GPU that is not there: faiss' CPU indexes and NumPy behind the names of faiss-gpu and cupy.

It refuses what the real classes refuse (read in their source, 1.15), so that the code around them
runs where there is no GPU.  It proves nothing about a GPU itself.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import faiss
import numpy as np
import pytest

from pipeline.device import gpu_session

CODE_BYTES = {1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96}
FREE = 16 << 30


class Resources:
    """What StandardGpuResources is asked for."""

    scratch = -1

    def setTempMemory(self, size: int) -> None:  # noqa: N802 (faiss' name)
        self.scratch = size


def require(condition: bool, message: str) -> None:
    if not condition:
        raise RuntimeError(f"Error in void faiss::gpu::Pretended at Pretended.cu:1: Error: {message}")


class Flat(faiss.IndexFlat):  # type: ignore[misc]
    """GpuIndexFlat: rows as halves where configured; at most 2,048 neighbours; no selectors."""

    halves = False

    def __init__(self, resources: Resources, dim: int, metric: int, config: Any) -> None:
        require(isinstance(resources, Resources) and config.device == 0 and config.use_cuvs is False, "configuration")
        super().__init__(dim, metric)
        self.halves = getattr(config, "useFloat16", False)

    def add(self, rows: np.ndarray) -> None:
        super().add(rows.astype(np.float16).astype(np.float32) if self.halves else rows)

    def search(self, queries: np.ndarray, k: int) -> Any:
        require(k <= 2048, "k > 2048")
        return super().search(queries, k)


def flat_l2(resources: Resources, dim: int, config: Any) -> Flat:
    return Flat(resources, dim, faiss.METRIC_L2, config)


def ivfpq(resources: Resources, index: faiss.IndexIVFPQ, config: Any) -> faiss.IndexIVFPQ:
    """GpuIndexIVFPQ made from a CPU index."""
    require(isinstance(resources, Resources) and config.device == 0 and config.use_cuvs is False, "configuration")
    require(index.pq.nbits == 8, "GPU: only pq.nbits == 8 is supported")
    require(index.by_residual, "GPU: only by_residual = true is supported")
    require(index.pq.M in CODE_BYTES, "Number of bytes per encoded vector is not supported")
    entry = 2 if config.useFloat16LookupTables else 4
    require(index.pq.M * 256 * entry <= 48 * 1024, "shared memory")
    return faiss.clone_index(index)


def knn_gpu(resources: Resources, queries: np.ndarray, rows: np.ndarray, k: int, **options: Any) -> Any:
    assert set(options) == {"metric", "device", "vectorsMemoryLimit", "queriesMemoryLimit"}
    require(0 < k <= 2048 and len(queries) > 0 and len(rows) > 0, "bfKnn")
    return faiss.knn(queries, rows, k, options["metric"])


def cupy(free: int) -> types.ModuleType:
    """The functions of cupy that are used; `free` bytes of memory."""

    class Device:
        mem_info = (free, 2 * FREE)

        def __init__(self, number: int) -> None:
            require(number == 0, "device")

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    module = types.ModuleType("cupy")
    for name in ("zeros", "asarray", "rint", "uint64", "int64", "float64"):
        setattr(module, name, getattr(np, name))
    pool = types.SimpleNamespace(free_all_blocks=lambda: None)
    vars(module).update(
        asnumpy=np.asarray, is_available=lambda: True, cuda=types.SimpleNamespace(Device=Device),
        get_default_memory_pool=lambda: pool,
    )  # fmt: skip
    return module


def config() -> types.SimpleNamespace:
    return types.SimpleNamespace(device=0, use_cuvs=False)


@contextmanager
def pretended(free: int = FREE) -> Iterator[None]:
    """Put the stand-ins in place."""
    scatter = types.ModuleType("cupyx")
    scatter.scatter_add = np.add.at  # type: ignore[attr-defined]
    names = {
        "StandardGpuResources": Resources, "GpuIndexFlatConfig": config, "GpuIndexIVFPQConfig": config,
        "GpuIndexFlat": Flat, "GpuIndexFlatL2": flat_l2, "GpuIndexIVFPQ": ivfpq, "knn_gpu": knn_gpu,
        "index_gpu_to_cpu": lambda index: index, "get_num_gpus": lambda: 1, "INDICES_32_BIT": 2,
    }  # fmt: skip
    gpu_session.session.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setattr(faiss, name, value, raising=False)
        patch.setitem(sys.modules, "cupy", cupy(free))
        patch.setitem(sys.modules, "cupyx", scatter)
        yield
    gpu_session.session.cache_clear()
