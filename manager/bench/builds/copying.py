"""How fast a bucket takes, gives plain bytes: what reading, writing of a build are compared with."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from pipeline.sources.places import Place

OBJECT = 25 << 20
"""Bytes of an object: those of the rows of a partition of 25,000 x 512 float16."""

MOST = 8
"""Objects that a worker copies; the time of more is in proportion."""


class Pace(NamedTuple):
    """Seconds of a byte."""

    read: float
    written: float


def plain_copy(on_all: Callable[[Callable[[], Any]], list[Any]], place: Place, read: int, written: int) -> float:
    """Seconds, summed over the workers, that as many bytes take without anything of ours in between.

    Objects are written, then read, by fsspec's own calls, in all workers at once: no checksum, no rename.
    """
    objects = max(1, min(MOST, (read + written) // OBJECT))
    paces: list[Pace] = on_all(partial(copied, place, objects))
    return statistics.mean(one.read for one in paces) * read + statistics.mean(one.written for one in paces) * written


def copied(place: Place, objects: int) -> Pace:
    """The pace of this process; leaves nothing."""
    fs, root = place.open()
    paths = [f"{root}/plain-{os.getpid()}-{number}" for number in range(objects)]
    data = os.urandom(OBJECT)
    fs.makedirs(root, exist_ok=True)
    try:
        began = time.perf_counter()
        for path in paths:
            fs.pipe_file(path, data)
        between = time.perf_counter()
        for path in paths:
            fs.cat_file(path)
        ended = time.perf_counter()
    finally:
        for path in paths:
            if fs.exists(path):
                fs.rm_file(path)
    return Pace((ended - between) / objects / OBJECT, (between - began) / objects / OBJECT)
