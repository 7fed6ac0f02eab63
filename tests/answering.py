"""A matcher over a few labels, for tests of what it answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import redis
from matchers import Matcher, Matchers, matchers
from published import Published, bucket, publish_index, unit_rows

from pipeline.artifact import Store

PEOPLE = [f"p{number // 2}" for number in range(400)]
"""Two rows of each person."""


STREAM = "faces:faces-1"


@dataclass
class World:
    """One matcher over a bucket with a few labels."""

    url: str
    store: Store
    group: Matchers
    matcher: Matcher
    faces: Published
    numbers: Published
    scan: Published


@contextmanager
def answering(url: str, folder: Path) -> Iterator[World]:
    """The matcher and its labels; empties the server first."""
    with redis.Redis.from_url(url) as client:
        client.flushall()
    store = bucket(folder / "bucket")
    faces = publish_index(store, "faces", "faces-1", unit_rows(1), people=PEOPLE, delta_seq=7)
    numbers = publish_index(store, "numbers: 1/2", "numbers-1", unit_rows(2, 300, 48), ids=range(-5, 295))
    scan = publish_index(store, "scan", "scan-1", unit_rows(3), recipe="scan")
    with matchers(folder, url) as group:
        yield World(url, store, group, group.start(), faces, numbers, scan)


def probes_of(published: Published, count: int = 100) -> np.ndarray:
    """Photos of the first rows, of any length."""
    noise = np.random.default_rng(9).standard_normal((count, published.rows.shape[1])) * 0.05
    return ((published.rows[:count] + noise) * 3).astype(np.float32)
