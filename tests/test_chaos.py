"""Chaos: builds on a cluster whose workers and scheduler are killed at random moments, all with one outcome."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nodes import Nodes, figures, kill, nodes
from waiting import wait_until

from pipeline.artifact import open_store, read_head, read_manifest
from pipeline.generate.faces import Generator

BUILDS = int(os.environ.get("LIM_TEST_CHAOS_BUILDS", "20"))
SEED = int(os.environ.get("LIM_TEST_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
ROWS, DIM = 100_000, 128

pytestmark = [pytest.mark.drill, pytest.mark.timeout(7_200)]


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gallery") / "rows.npy"
    np.save(path, Generator("wide", 3, dim=DIM).chunk(0, ROWS)[0])
    return path


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    sizes = {
        "LIM_BUILD__PARTITION_ROWS": "10000", "LIM_BUILD__SAMPLE_ROWS": "20000", "LIM_BUILD__RECIPE": "cells",
        "LIM_QUALITY__MATED_PROBES": "500", "LIM_QUALITY__NON_MATES": "300",
    }  # fmt: skip
    with nodes(
        tmp_path_factory.mktemp("chaos"), LIM_QUALITY__ADDED_FNIR="0.02", LIM_BUILD__FORCE="1", **sizes
    ) as cluster:
        yield cluster


@dataclass
class Chaos:
    """Kills what a build runs on; `log` says what and when."""

    nodes: Nodes
    dice: random.Random
    log: list[str] = field(default_factory=list)

    def over(self, running: subprocess.Popen[bytes], seconds: float) -> None:
        """One to three kills at random moments of `seconds`, fewer when the build ends before."""
        began = time.monotonic()
        moments = sorted(self.dice.uniform(0, seconds) for _ in range(self.dice.randint(1, 3)))
        for moment in moments:
            until = began + moment
            while time.monotonic() < until and running.poll() is None:
                time.sleep(0.005)
            if running.poll() is not None:
                return
            self._kill(f"{time.monotonic() - began:.2f} s")

    def _kill(self, when: str) -> None:
        scheduler = self.nodes.scheduler
        assert scheduler is not None
        chosen = self.dice.randrange(len(self.nodes.indexers) + 1)
        if chosen == len(self.nodes.indexers):
            scheduler.kill()
            self.nodes.start_scheduler()
            self.log.append(f"scheduler at {when}")
            return
        worker = self.nodes.indexers[chosen].worker()
        if worker is None:
            wait_until(self.nodes.indexers[chosen].worker, timeout_s=60, what="a worker")
            worker = self.nodes.indexers[chosen].worker()
        assert worker is not None
        kill(worker)
        self.log.append(f"worker {chosen} at {when}")


def say(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """Show a line at once."""
    with capsys.disabled():
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def test_builds_under_fire_publish_one_and_the_same_index(
    found: Nodes, gallery: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every build is published; all digests are that of a build in peace."""
    dice = random.Random(SEED)
    say(capsys, f"\nseed {SEED} (LIM_TEST_CHAOS_SEED), {BUILDS} builds (LIM_TEST_CHAOS_BUILDS)")
    peace: dict[str, Any] = figures(found.build(gallery), timeout_s=600)
    store = open_store(str(found.bucket))
    digests, kills = [], 0
    while len(digests) < BUILDS:
        running, chaos = found.build(gallery), Chaos(found, dice)
        wait_until(lambda: list(found.bucket.glob("work/*/spec.json")), timeout_s=120, what="the beginning")
        chaos.over(running, peace["seconds"])
        got = figures(running, timeout_s=600)
        shots = "; ".join(chaos.log) or "nothing"
        say(
            capsys,
            f"{got['content_digest'][:12]} in {got['seconds']:.1f} s, in peace {peace['seconds']:.1f} s: {shots}",
        )
        if not chaos.log:
            continue  # it was done before the first shot: that one does not count
        kills += len(chaos.log)
        digests.append(got["content_digest"])
        head, _ = read_head(store, "list")
        assert head.index_id == got["index_id"]
        assert read_manifest(store, "list", head.index_id).content_digest == got["content_digest"]
        found.wait_joined(timeout_s=60)
    assert set(digests) == {peace["content_digest"]}
    assert store.keys("work/") == []
    assert kills >= BUILDS


def test_a_killed_client_is_continued_by_the_same_command(found: Nodes, gallery: Path) -> None:
    """Its items end on the cluster or not; what has a marker is not redone."""
    first = found.build(gallery)
    wait_until(lambda: found.done("extract") >= 3, timeout_s=120, what="three items")
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    marked = found.done("extract")
    got = figures(found.build(gallery), timeout_s=600)
    assert got["stages"]["extract"]["items"] <= ROWS / 10_000 - marked
    assert got["content_digest"] == figures(found.build(gallery), timeout_s=600)["content_digest"]
