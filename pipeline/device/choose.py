"""Which device a process works on."""

from __future__ import annotations

import logging

from configs.errors import ConfigError
from pipeline.device.verbs import Device

logger = logging.getLogger(__name__)


def device(kind: str) -> Device:
    """The device for `auto`, `cpu` or `gpu`; `auto` takes a GPU where one answers, and logs what it found.

    Raises ConfigError when a GPU is demanded and none answers.
    """
    from pipeline.device.gpu_session import why_not  # here, so that a matcher on a CPU never loads it

    if kind == "cpu":
        return _cpu()
    missing = why_not()
    if not missing:
        logger.info("Working on a GPU.")
        from pipeline.device.gpu import Gpu

        return Gpu()
    if kind == "gpu":
        raise ConfigError(f"build.device: expected a GPU because 'gpu' is set, got none: {missing}")
    logger.info("Working on the CPU: %s.", missing)
    return _cpu()


def _cpu() -> Device:
    from pipeline.device.cpu import Cpu

    return Cpu()
