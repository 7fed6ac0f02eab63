"""Which device a thread works on."""

from __future__ import annotations

import itertools
import threading

from configs.errors import ConfigError
from pipeline.device.cpu import Cpu
from pipeline.device.gpu import Gpu
from pipeline.device.gpu_found import asked, count
from pipeline.device.verbs import Device

_turns = itertools.count()
_mine = threading.local()


def device(kind: str) -> Device:
    """The device for `auto`, `cpu` or `gpu`; `auto` takes a GPU where one answers.

    Where a process sees several GPUs, its threads take them by turns, and each keeps its own.  What was found is
    logged once.  Raises ConfigError when a GPU is demanded and none answers.
    """
    missing = asked() if kind != "cpu" else "the CPU is set"
    if not missing:
        return Gpu(_turn() % count())
    if kind == "gpu":
        raise ConfigError(f"build.device: expected a GPU because 'gpu' is set, got none: {missing}")
    return Cpu()


def _turn() -> int:
    if not hasattr(_mine, "turn"):
        _mine.turn = next(_turns)
    return int(_mine.turn)
