"""The GPU of this process: whether one answers, how much room it has, who may call it.

A process works on one GPU, the first that CUDA_VISIBLE_DEVICES lets it see; a node with several
runs one process for each.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import faiss

from configs.errors import LimError

DEVICE = 0
"""Number of the GPU among those that the process can see."""

MOST = 2048
"""faiss' GPU_MAX_SELECTION_K: the most neighbours, and the most probed cells, of one GPU search."""

MOST_SCRATCH = 1536 << 20
"""faiss never takes more scratch than this on one GPU."""

SCRATCH_SHARE = 16
"""Scratch is at most this part of the GPU's memory: 1.5 GiB of 24, 512 MiB of 8."""


class GpuTooSmall(LimError):
    """The GPU has not the room that something needs; the message has both numbers."""


@dataclass(frozen=True, slots=True)
class Session:
    """faiss' resources on the GPU; hold `lock` around every call that uses them: they serve one host thread."""

    resources: Any
    scratch: int
    """Bytes that faiss keeps for intermediate results."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def room(self, what: str, nbytes: int) -> Iterator[None]:
        """Refuse the block unless `nbytes` and the scratch are free, as GpuTooSmall; also when it runs out of memory.

        Counts the scratch even where it is already taken: the driver needs something for itself.
        """
        free, _ = memory()
        needed = f"{what}: needs {nbytes:,} bytes and {self.scratch:,} of scratch on the GPU, free are {free:,}"
        if nbytes + self.scratch > free:
            raise GpuTooSmall(needed)
        try:
            yield
        except RuntimeError as error:
            raise GpuTooSmall(f"{needed}, which did not suffice: {_first_line(error)}") from error


def why_not() -> str:
    """Why no GPU can be worked on, or "" when one answers.  Never raises; neither GPU wheel need be installed."""
    if not hasattr(faiss, "StandardGpuResources"):
        return "the faiss that is installed was built without GPU support; install the `gpu` extra instead of `cpu`"
    try:
        import cupy
    except (ImportError, OSError, RuntimeError) as error:
        return f"cupy cannot be imported ({_first_line(error)}); install the `gpu` extra"
    try:
        if faiss.get_num_gpus() == 0:
            return "faiss finds no GPU: no NVIDIA driver, one that is too old, or CUDA_VISIBLE_DEVICES hides them"
        if not cupy.is_available():
            return "faiss finds a GPU, but cupy does not: does its version of CUDA fit the driver?"
        memory()
    except RuntimeError as error:  # cupy's CUDARuntimeError is one; so is every error of faiss
        return f"the GPU does not answer: {_first_line(error)}"
    return ""


def memory() -> tuple[int, int]:
    """Free and total bytes of the GPU."""
    import cupy

    free, total = cupy.cuda.Device(DEVICE).mem_info
    return int(free), int(total)


@functools.cache
def session() -> Session:
    """The session of this process, made at the first call; only after `why_not` has found nothing."""
    resources = faiss.StandardGpuResources()
    scratch = min(MOST_SCRATCH, memory()[1] // SCRATCH_SHARE)
    resources.setTempMemory(scratch)
    return Session(resources, scratch)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
