"""Which GPUs this process can see: whether there are any, why not, what their floats depend on.

CUDA_VISIBLE_DEVICES decides which ones it sees; their numbers count from 0 among those.  Asking takes nothing of a GPU: a
context of CUDA's, of some 400 MB, is made for `memory` only, so in processes that work on one.
"""

from __future__ import annotations

import functools
import logging
import threading
from importlib.metadata import distributions

import faiss

from pipeline.device.gpu_memory import scratch_of

logger = logging.getLogger(__name__)

LIBRARIES = ("cupy-", "nvidia-cublas")
"""How the distributions are called, beside faiss', that compute on a GPU."""

_asking = threading.Lock()


def count() -> int:
    """How many GPUs the process can see; only after `why_not` has found nothing."""
    return int(faiss.get_num_gpus())


def scratch(number: int) -> int:
    """Bytes that faiss is given for intermediate results on a GPU."""
    import cupy

    return scratch_of(int(cupy.cuda.runtime.getDeviceProperties(number)["totalGlobalMem"]))


def memory(number: int) -> int:
    """Free bytes of a GPU.  RuntimeError when it does not answer."""
    import cupy

    return int(cupy.cuda.Device(number).mem_info[0])


def asked() -> str:
    """What `why_not` says, asked once in a process; what it found is logged then, and not again."""
    with _asking:
        return _asked()


@functools.cache
def _asked() -> str:
    missing = why_not()
    logger.info("No GPU is used: %s." if missing else "GPUs: %s.", missing or f"{count()} of {_names()[0]}")
    return missing


def why_not() -> str:
    """Why no GPU can be worked on, or "" when there is one.  Never raises; neither GPU wheel need be installed."""
    if not hasattr(faiss, "StandardGpuResources"):
        return "the faiss that is installed was built without GPU support; install the `gpu` extra instead of `cpu`"
    try:
        import cupy
    except (ImportError, OSError, RuntimeError) as error:
        return f"cupy cannot be imported ({first_line(error)}); install the `gpu` extra"
    try:
        if faiss.get_num_gpus() == 0:
            return "faiss finds no GPU: no NVIDIA driver, one that is too old, or CUDA_VISIBLE_DEVICES hides them"
        if not cupy.is_available():
            return "faiss finds a GPU, but cupy does not: does its version of CUDA fit the driver?"
        if len(_names()) > 1:
            return f"GPUs of several kinds ({'; '.join(_names())}) round differently: let CUDA_VISIBLE_DEVICES show one"
    except RuntimeError as error:  # cupy's CUDARuntimeError is one; so is every error of faiss
        return f"the driver does not answer: {first_line(error)}"
    return ""


def identity() -> dict[str, str]:
    """What the floats of this process's GPUs depend on; says why there are none where there are none."""
    if missing := asked():
        return {"gpu": f"none: {missing}"}
    import cupy

    libraries = sorted(f"{one.name} {one.version}" for one in distributions() if one.name.startswith(LIBRARIES))
    return {
        "gpu": _names()[0],
        "scratch": str(scratch(0)),  # tiles depend on it, and sums of floats on tiles
        "cuda": f"driver {cupy.cuda.runtime.driverGetVersion()}, runtime {cupy.cuda.runtime.runtimeGetVersion()}",
        "libraries": ", ".join(libraries),
    }


def _names() -> list[str]:
    """The kinds of GPU that the process can see: cuBLAS rounds alike on one architecture with as many processors."""
    import cupy

    found = [cupy.cuda.runtime.getDeviceProperties(number) for number in range(count())]
    return sorted({
        f"{one['name'].decode()}, compute capability {one['major']}.{one['minor']}, "
        f"{one['multiProcessorCount']} multiprocessors" for one in found
    })  # fmt: skip


def first_line(error: Exception) -> str:
    """What an error says before it shows its stack."""
    return (str(error).splitlines() or [type(error).__name__])[0]
