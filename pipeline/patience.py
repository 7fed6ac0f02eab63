"""Waits for a bucket that says it is busy, a little longer each time."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from pipeline.artifact import StoreBusy
from pipeline.sources.errors import SourceBusy

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

FIRST_S = 0.25
LONGEST_S = 5.0


def patiently(call: Callable[[], Result], limit_s: float) -> Result:
    """The result of `call`, which may run several times while the bucket is busy.

    Waits 0.25 s, then twice as long each time up to 5 s, less up to a half at random, so that the workers of a
    cluster do not come back all at once.  Raises what `call` raises last when `limit_s` have passed, and
    anything but StoreBusy and SourceBusy at once.
    """
    until = time.monotonic() + limit_s
    pause = FIRST_S
    while True:
        try:
            return call()
        except (StoreBusy, SourceBusy) as error:
            left = until - time.monotonic()
            if left <= 0:
                raise
            wait = min(left, pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, hides nothing
            logger.warning("%s; trying again in %.1f s, for %.0f s more.", error, wait, left)
            time.sleep(wait)
            pause = min(2 * pause, LONGEST_S)
