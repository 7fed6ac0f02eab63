"""Workers use freed memory again instead of asking the kernel for it, and lose none of it for good."""

from __future__ import annotations

import resource

import psutil
from published import unit_rows

from configs.settings import Dask
from pipeline.graph import cluster

BLOCK = 24 << 20
"""Bytes of the rows of a partition: 6,000 pages."""


def faults_of_a_block_again() -> int:
    """Page faults of the second of two blocks."""
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        bytearray(BLOCK)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def grown() -> int:
    """Bytes by which the process is larger after many blocks of several sizes than after the first few."""
    found = []
    for seed in range(12):
        blocks = [bytearray(BLOCK >> shift) for shift in range(6)] + [unit_rows(seed, 2_000, 512).astype("f4")]
        del blocks
        found.append(psutil.Process().memory_info().rss)
    return max(found[4:]) - max(found[:4])


def test_a_worker_keeps_what_it_freed_and_no_more() -> None:
    with cluster(Dask(workers=1)) as client:
        assert max(client.run(faults_of_a_block_again).values()) < 500, "freed memory is mapped anew"
        assert max(client.run(grown).values()) < 8 << 20
