"""Turns on a GPU: one session for each that the process can see."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import faiss

from configs.errors import LimError
from pipeline.device import gpu_found
from pipeline.device.gpu_found import first_line
from pipeline.device.gpu_memory import RESERVE, Plan


class GpuRefused(LimError):
    """A GPU cannot take what it was to take; the message has both numbers."""


@dataclass(frozen=True, slots=True)
class Session:
    """faiss' resources on one GPU; they serve one host thread, so every call that uses them is made inside `room`."""

    number: int
    """Of the GPU, among those that the process can see."""
    resources: faiss.StandardGpuResources
    scratch: int
    """Bytes that faiss keeps for intermediate results."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def refusal(self, plan: Plan) -> str:
        """Why the GPU has not the room for something, or "" where it has."""
        begun = self.number in self.resources.getMemoryInfo()  # faiss has worked: scratch and driver have theirs
        found = plan.refusal(gpu_found.memory(self.number), 0 if begun else self.scratch + RESERVE)
        return found and f"GPU {self.number}: {found}"

    @contextmanager
    def room(self, plan: Plan) -> Iterator[None]:
        """The block, when it is this thread's turn.

        GpuRefused, before anything is allocated, when the room is not there; also for what fails all the same.
        Whatever lies on the GPU is let go of in here as well, so the block makes it in functions of its own.
        """
        with self.lock:
            if refused := self.refusal(plan):
                raise GpuRefused(refused)
            try:
                yield
            except (RuntimeError, MemoryError) as error:  # faiss raises the one, cupy the other
                traceback.clear_frames(error.__traceback__)  # which hold what was already on the GPU
                raise GpuRefused(
                    f"GPU {self.number}: {plan.what}: {plan.nbytes:,} bytes were free, yet it failed: {first_line(error)}"
                ) from error

    def flat_config(self, *, halves: bool = False) -> faiss.GpuIndexFlatConfig:
        """For an index of rows on this GPU, which keeps them as float16 or as they are."""
        config = faiss.GpuIndexFlatConfig()
        config.device = self.number
        config.use_cuvs = False
        config.useFloat16 = halves
        return config


_opening = threading.Lock()
_sessions: dict[int, Session] = {}


def session(number: int) -> Session:
    """The one session of a GPU in this process, made at the first call; only after `why_not` has found nothing.

    Raises GpuRefused for a GPU that does not answer.
    """
    with _opening:
        if number not in _sessions:
            # cuBLAS picks among algorithms by what else runs, and faiss multiplies on two streams by turns: with
            # workspaces of fixed size results are the same in every run (cuBLAS guide, Results Reproducibility).
            os.putenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            try:
                gpu_found.memory(number)
                scratch = gpu_found.scratch(number)
            except RuntimeError as error:
                raise GpuRefused(f"GPU {number} does not answer: {first_line(error)}") from error
            resources = faiss.StandardGpuResources()
            resources.setTempMemory(scratch)
            _sessions[number] = Session(number, resources, scratch)
        return _sessions[number]
