"""What changes floating-point sums between two machines."""

from __future__ import annotations

import platform

import faiss
import numpy as np

from pipeline.device.gpu_found import identity


def platform_versions(kind: str = "cpu") -> dict[str, str]:
    """Library versions, machine, the instruction set of faiss; for the kind `gpu` also what its GPUs are.

    Part of a build's identity: a worker for which it differs gets no items.  Never raises: for `gpu` without a GPU it
    says so, and so differs.
    """
    found = {
        "numpy": np.__version__,
        "faiss": faiss.__version__,
        "machine": platform.machine(),
        "instructions": faiss.get_compile_options().strip(),
    }
    return found | identity() if kind == "gpu" else found
