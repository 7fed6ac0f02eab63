"""A leader that is paused beyond its lease, then woken: real processes, a real Redis, a real bucket."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest
from contenders import LABEL, TASK, Leader, Line, leaders, merged
from waiting import wait_until

from configs.settings import Manager, Storage
from manager.connecting import connect
from manager.embedded.seaweed import S3
from manager.leading.lease import now
from manager.tasks.task import Task
from manager.tasks.tasks import Tasks
from pipeline.artifact import open_store, read_head

LEASE_S = 2.0
SEED = int(os.environ.get("LIM_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)


@pytest.fixture
def bucket(s3_server: S3, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LIM_TEST_ENDPOINT", s3_server.endpoint)
    return s3_url


def submitted(redis_url: str) -> None:
    """One task, to be moved by whoever leads."""

    async def submit() -> None:
        redis = connect(redis_url)
        await Tasks(redis, Manager()).submit(Task(task_id=TASK, label=LABEL, source="s", content="c"))
        await redis.aclose()

    asyncio.run(submit())


def leading(found: list[Leader]) -> Leader:
    """Who wrote last that it leads."""
    last = [line.who for line in merged(found) if line.what == "leads"][-1]
    return next(one for one in found if one.child.name == last)


def wait_for(found: list[Leader], what: str, above: int) -> Line:
    """The first line of this kind of a newer fence."""

    def lines() -> list[Line]:
        return [line for line in merged(found) if line.what == what and line.fence > above]

    wait_until(lines, timeout_s=20, what=f"{what} of a fence above {above}")
    return lines()[0]


def check(lines: list[Line]) -> None:
    """Once a newer leader has led, moved the task or the head, an older one does so no more."""
    for what in ("leads", "task", "head"):
        fences = [line.fence for line in lines if line.what == what]
        wrong = [(a, b) for a, b in pairwise(fences) if b < a]
        assert not wrong, f"seed {SEED}: {what}: {wrong}"


@pytest.mark.timeout(120)
def test_a_leader_woken_after_its_lease_moves_neither_task_nor_head(
    bucket: str, redis_url: str, tmp_path: Path
) -> None:
    """Not even one that goes on as if nothing had been."""
    submitted(redis_url)
    with leaders(tmp_path, (bucket, redis_url), LEASE_S, stubborn=True) as found:
        first = wait_for(found, "head", 0).fence
        old = leading(found)
        paused = now()
        old.signal(signal.SIGSTOP)
        taken = wait_for(found, "leads", first)
        assert taken.at - paused < 2 * LEASE_S, "taken over within two leases"
        new = wait_for(found, "head", first).fence
        wait_for(found, "task", first)
        before = len(old.lines())
        old.signal(signal.SIGCONT)
        wait_until(
            lambda: "what the leader did is stopped" in old.child.log.read_text(), what="the old leader stopping"
        )

        def late(what: str) -> int:
            lines = old.lines()[before:]
            return sum(line.what == what and line.fence == first and line.at > taken.at for line in lines)

        wait_until(lambda: min(late("refused-task"), late("refused-head")) >= 5, what="its moves being refused")
        assert [late(what) for what in ("leads", "task", "head")] == [0, 0, 0]
        store = open_store(bucket, Storage(endpoint_url=os.environ.get("LIM_TEST_ENDPOINT", "")))
        assert read_head(store, LABEL)[0].fences["build"] >= new
    check(merged(found))


def trial(folder: Path, redis_url: str, seconds: float) -> list[Line]:
    """Three leaders, of which one or two are paused at random moments for about a lease."""
    dice, lease_s = random.Random(SEED), 0.5
    submitted(redis_url)
    with leaders(folder, (str(folder / "bucket"), redis_url), lease_s, 3) as found:
        wait_for(found, "leads", 0)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            asleep = dice.sample(found, dice.choice((1, 1, 2)))
            if dice.random() < 0.7 and leading(found) not in asleep:
                asleep.append(leading(found))
            for one in asleep:
                one.signal(signal.SIGSTOP)
            time.sleep(dice.uniform(0.0, 2.0) * lease_s)
            for one in asleep:
                one.signal(signal.SIGCONT)
            time.sleep(dice.uniform(0.0, 2.0) * lease_s)
    lines = merged(found)
    check(lines)
    return lines


@pytest.mark.timeout(120)
def test_two_never_lead_at_once(redis_url: str, tmp_path: Path) -> None:
    lines = trial(tmp_path, redis_url, 4.0)
    assert len({line.fence for line in lines if line.what == "leads"}) > 1, f"seed {SEED}: nobody took over"


@pytest.mark.drill
@pytest.mark.timeout(300)
def test_two_never_lead_at_once_for_a_minute(redis_url: str, tmp_path: Path) -> None:
    lines = trial(tmp_path, redis_url, 60.0)
    assert len({line.fence for line in lines if line.what == "leads"}) > 10, f"seed {SEED}"
