"""Workers use freed memory again instead of asking the kernel for it, unless they have little."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import psutil
from configs.settings import Dask
from pipeline.graph import cluster

BLOCK = 24 << 20  # bytes of the rows of a partition: 6,000 pages

def faults_of_a_block_again():
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        bytearray(BLOCK)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def grown():
    found = []
    for _ in range(12):
        blocks = [bytearray(BLOCK >> shift) for shift in range(6)]
        del blocks
        found.append(psutil.Process().memory_info().rss)
    return max(found[4:]) - max(found[:4])

with cluster(Dask(workers=1, memory_limit="LIMIT")) as client:
    print(*client.run(faults_of_a_block_again).values(), *client.run(grown).values())
"""


def measured(limit: str, **environ: str) -> tuple[int, int]:
    """Page faults of a block that was there before, bytes by which a worker grew after the first few blocks.

    In a process of its own: Dask leaves in the environment what it gave to the first worker.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("LIMIT", limit)], env=clean | environ, capture_output=True, text=True,
        check=True, timeout=50,
    )  # fmt: skip
    faults, growth = done.stdout.split()
    return int(faults), int(growth)


def test_a_worker_keeps_what_it_freed_and_no_more() -> None:
    faults, growth = measured("auto")
    assert faults < 500, "freed memory is mapped anew"
    assert growth < 8 << 20


@pytest.mark.parametrize(
    ("limit", "environ"), [("512MiB", {}), ("auto", {"MALLOC_MMAP_THRESHOLD_": "131072"})], ids=["little", "asked"]
)
def test_a_worker_of_little_memory_gives_it_back(limit: str, environ: dict[str, str]) -> None:
    """So does one whose environment says so."""
    assert measured(limit, **environ)[0] > 5_000
