"""What changes floating-point sums between two machines."""

from __future__ import annotations

import platform

import faiss
import numpy as np


def platform_versions() -> dict[str, str]:
    """Library versions, machine and the instruction set of faiss: part of a build's identity."""
    return {
        "numpy": np.__version__,
        "faiss": faiss.__version__,
        "machine": platform.machine(),
        "instructions": faiss.get_compile_options().strip(),
    }
