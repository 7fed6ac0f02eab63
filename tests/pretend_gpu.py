"""GPUs that are not there: faiss' CPU indexes and NumPy behind the names of faiss-gpu and cupy.

They refuse what the real classes refuse (read in their source, 1.15), so that the code around them
runs where there is no GPU.  They prove nothing about a GPU itself.
"""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import faiss
import numpy as np
import pytest

from pipeline.device import choose, gpu_found, gpu_session
from pipeline.search import on_gpu

CODE_BYTES = {1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96}
FREE = 16 << 30
NAME = "Pretended GPU"


def require(condition: bool, message: str) -> None:
    if not condition:
        raise RuntimeError(f"Error in void faiss::gpu::Pretended at Pretended.cu:1: Error: {message}")


class Resources:
    """What StandardGpuResources is asked for: for one GPU, and for one thread at a time."""

    def __init__(self) -> None:
        self.scratch = -1
        self.device: int | None = None
        self._busy = threading.Lock()

    def setTempMemory(self, size: int) -> None:  # noqa: N802 (faiss' name)
        self.scratch = size

    def getMemoryInfo(self) -> dict[int, dict[str, tuple[int, int]]]:  # noqa: N802
        return {} if self.device is None else {self.device: {"TemporaryMemoryBuffer": (1, self.scratch)}}

    @contextmanager
    def used(self, device: int) -> Iterator[None]:
        """One call on one GPU."""
        require(0 <= device < faiss.get_num_gpus(), f"Invalid GPU device {device}")
        require(self.device in (None, device), f"resources of GPU {self.device} used on GPU {device}")
        require(self._busy.acquire(blocking=False), "resources used by two threads at once")
        self.device = device
        try:
            yield
        finally:
            self._busy.release()


class Flat(faiss.IndexFlat):  # type: ignore[misc]
    """GpuIndexFlat: rows as halves where configured; at most 2,048 neighbours; no selectors."""

    resources: Any = None
    config: Any = None

    def __init__(self, resources: Resources, dim: int, metric: int, config: Any) -> None:
        require(config.use_cuvs is False, "configuration")
        with resources.used(config.device):
            super().__init__(dim, metric)
        self.resources, self.config = resources, config

    def add(self, rows: np.ndarray) -> None:
        with self.resources.used(self.config.device):
            super().add(rows.astype(np.float16).astype(np.float32) if self.config.useFloat16 else rows)

    def search(self, queries: np.ndarray, k: int) -> Any:
        require(k <= 2048, "k > 2048")
        with self.resources.used(self.config.device):
            return super().search(queries, k)


def flat_l2(resources: Resources, dim: int, config: Any) -> Flat:
    return Flat(resources, dim, faiss.METRIC_L2, config)


def ivfpq(resources: Resources, index: faiss.IndexIVFPQ, config: Any) -> faiss.IndexIVFPQ:
    """GpuIndexIVFPQ made from a CPU index."""
    require(config.use_cuvs is False, "configuration")
    require(index.pq.nbits == 8, "GPU: only pq.nbits == 8 is supported")
    require(index.by_residual, "GPU: only by_residual = true is supported")
    require(index.pq.M in CODE_BYTES, "Number of bytes per encoded vector is not supported")
    entry = 2 if config.useFloat16LookupTables else 4
    require(index.pq.M * 256 * entry <= 48 * 1024, "shared memory")
    with resources.used(config.device):
        return faiss.clone_index(index)


def knn_gpu(resources: Resources, queries: np.ndarray, rows: np.ndarray, k: int, **options: Any) -> Any:
    assert set(options) == {"metric", "device", "vectorsMemoryLimit", "queriesMemoryLimit"}
    require(0 < k <= 2048 and len(queries) > 0 and len(rows) > 0, "bfKnn")
    require(options["vectorsMemoryLimit"] >= rows.shape[1] * 4, "bfKnn_tiling: vectorsMemoryLimit is too low")
    require(options["queriesMemoryLimit"] >= k * 12 + rows.shape[1] * 4, "bfKnn_tiling: queriesMemoryLimit is too low")
    with resources.used(options["device"]):
        return faiss.knn(queries, rows, k, options["metric"])


def cupy(free: tuple[int, ...], names: tuple[str, ...]) -> types.ModuleType:
    """The functions of cupy that are used; GPUs of these names with so many free bytes of memory."""

    class Device:
        def __init__(self, number: int) -> None:
            require(0 <= number < len(names), "cudaErrorInvalidDevice: invalid device ordinal")
            self.mem_info = (free[number], 2 * FREE)

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    def properties(number: int) -> dict[str, Any]:
        require(0 <= number < len(names), "cudaErrorInvalidDevice: invalid device ordinal")
        found = {"name": names[number].encode(), "major": 9, "minor": 0, "multiProcessorCount": 132}
        return found | {"totalGlobalMem": 2 * FREE}

    module = types.ModuleType("cupy")
    for name in ("zeros", "rint", "uint64", "int64"):
        setattr(module, name, getattr(np, name))
    pool = types.SimpleNamespace(free_all_blocks=lambda: None)
    runtime = types.SimpleNamespace(
        driverGetVersion=lambda: 12040, runtimeGetVersion=lambda: 12090, getDeviceProperties=properties
    )
    vars(module).update(
        asarray=np.array, asnumpy=np.asarray, is_available=lambda: True, get_default_memory_pool=lambda: pool,
        cuda=types.SimpleNamespace(Device=Device, runtime=runtime),
    )  # fmt: skip
    return module


def config() -> types.SimpleNamespace:
    return types.SimpleNamespace(device=0, use_cuvs=False, useFloat16=False)


def forget() -> None:
    """What a process found out about its GPUs."""
    gpu_found._asked.cache_clear()
    on_gpu._say.cache_clear()


@contextmanager
def pretended(free: int | tuple[int, ...] = FREE, gpus: int | tuple[str, ...] = 1) -> Iterator[None]:
    """Put the stand-ins in place: so many GPUs of one kind or those of the given names; `free` bytes on each or all."""
    kinds = (NAME,) * gpus if isinstance(gpus, int) else gpus
    rooms = (free,) * len(kinds) if isinstance(free, int) else free
    scatter = types.ModuleType("cupyx")
    scatter.scatter_add = np.add.at  # type: ignore[attr-defined]
    names = {
        "StandardGpuResources": Resources, "GpuIndexFlatConfig": config, "GpuIndexIVFPQConfig": config,
        "GpuIndexFlat": Flat, "GpuIndexFlatL2": flat_l2, "GpuIndexIVFPQ": ivfpq, "knn_gpu": knn_gpu,
        "index_gpu_to_cpu": lambda index: index, "get_num_gpus": lambda: len(kinds), "INDICES_32_BIT": 2,
    }  # fmt: skip
    forget()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setattr(faiss, name, value, raising=False)
        patch.setitem(sys.modules, "cupy", cupy(rooms, kinds))
        patch.setitem(sys.modules, "cupyx", scatter)
        patch.setattr(gpu_session, "_sessions", {})
        patch.setattr(choose, "_mine", threading.local())
        yield
    forget()
