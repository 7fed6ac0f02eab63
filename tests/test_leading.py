"""The lease within one process: who leads, when work stops, which fences there are."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from waiting import eventually

from configs.settings import Manager
from manager.connecting import connect
from manager.embedded.valkey import Valkey
from manager.errors import StaleLeader
from manager.leading.ending import ended, together
from manager.leading.lease import Lease, now
from manager.leading.lock import COUNTER, lease_key
from pipeline.artifact import Store, StoreUnavailable, newest_fence, open_store

LEASE_S = 1.0
SECTION = Manager(lease_s=LEASE_S)


class Seen:
    """What a leader does: nothing, but it remembers when."""

    def __init__(self, then: Callable[[int], Awaitable[None]] | None = None) -> None:
        self.fences: list[int] = []
        self.ended = 0.0
        self._then = then

    async def work(self, fence: int) -> None:
        """Until it is cancelled."""
        self.fences.append(fence)
        try:
            if self._then:
                await self._then(fence)
            await asyncio.Event().wait()
        finally:
            self.ended = now()


@asynccontextmanager
async def standing(url: str, store: Store, seen: Seen, owner: str = "one") -> AsyncIterator[Lease]:
    """A manager that leads when it can."""
    redis = connect(url, tries=0)
    lease = Lease(redis, store, SECTION, owner)
    holding = asyncio.create_task(lease.hold(seen.work))
    try:
        yield lease
    finally:
        await ended([holding])
        await redis.aclose()


def leads_with(lease: Lease, fence: int) -> bool:
    """Whether it leads with this very fence."""
    return lease.leads() and lease.fence == fence


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "bucket"))


async def test_one_leads_the_other_takes_over_when_it_stops(redis_url: str, store: Store) -> None:
    first, second = Seen(), Seen()
    async with standing(redis_url, store, second, "two") as other:
        await eventually(other.leads)
        async with standing(redis_url, store, first) as lease:
            await eventually(lambda: other.remaining() < 0.7 * LEASE_S)
            await eventually(lambda: other.remaining() > 0.7 * LEASE_S, what="the renewal")
            assert (await other.leader(), await lease.leader()) == ("two", "two")
            assert not lease.leads()
            assert lease.remaining() == 0.0
    async with standing(redis_url, store, first) as lease:
        await eventually(lease.leads, timeout_s=LEASE_S, what="taking over what was given back")
        assert (second.fences, first.fences, lease.fence) == ([1], [2], 2)
    assert store.read("fences/build/2") == b"one"
    assert not lease.leads()


async def test_work_ends_within_the_lease_when_redis_is_gone(redis_server: Valkey, store: Store) -> None:
    seen = Seen()
    async with standing(redis_server.url, store, seen) as lease:
        await eventually(lease.leads)
        killed = now()
        redis_server.kill()
        await eventually(lambda: seen.ended, what="the end of the work")
        assert seen.ended - killed < LEASE_S
        assert not lease.leads()
        redis_server.restart()
        await eventually(lease.leads, what="leading again")
    assert seen.fences == [1, 2]


async def test_redis_that_is_away_for_a_moment_is_waited_for(redis_server: Valkey, store: Store) -> None:
    seen = Seen()
    async with standing(redis_server.url, store, seen) as lease:
        await eventually(lease.leads)
        redis_server.kill()
        redis_server.restart()
        await eventually(lambda: lease.remaining() < 0.4 * LEASE_S or lease.remaining() > 0.7 * LEASE_S)
        await eventually(lambda: lease.remaining() > 0.7 * LEASE_S, what="a renewal")
    assert seen.fences in ([1], [1, 2])  # the second when the restart took longer than the lease


async def test_a_redis_that_was_wiped_gives_no_fence_twice(redis_url: str, store: Store) -> None:
    seen = Seen()
    redis = connect(redis_url)
    async with standing(redis_url, store, seen) as lease:
        for number in (1, 2, 3):
            await eventually(partial(leads_with, lease, number))
            assert await redis.get(COUNTER) == str(number)
            await redis.flushall()
    assert seen.fences[:3] == [1, 2, 3]
    await redis.aclose()


async def test_a_counter_that_was_forgotten_is_raised_again(redis_url: str, store: Store) -> None:
    seen, redis = Seen(), connect(redis_url)
    async with standing(redis_url, store, seen) as lease:
        await eventually(lease.leads)
        await redis.delete(COUNTER)

        async def known() -> bool:
            return await redis.get(COUNTER) == "1"

        await eventually(known)
        await redis.set(COUNTER, 7)  # of another leader, who had the lease in a Redis that failed over
        await eventually(lambda: len(seen.fences) > 1, what="a newer fence")
    assert seen.fences == [1, 8]
    await redis.aclose()


async def test_a_lease_that_another_has_ends_the_work(redis_url: str, store: Store) -> None:
    seen, redis = Seen(), connect(redis_url)
    async with standing(redis_url, store, seen) as lease:
        await eventually(lease.leads)
        await redis.set(lease_key(SECTION.lock), "token-of two", px=600)
        await eventually(lambda: seen.ended, timeout_s=LEASE_S, what="the end of the work")
        assert await lease.leader() == "two"
        await eventually(lambda: seen.fences == [1, 2])
    await redis.aclose()


async def test_who_hears_of_a_newer_leader_takes_a_newer_fence(redis_url: str, store: Store) -> None:
    async def stale(fence: int) -> None:
        if fence == 1:
            raise StaleLeader("fence 1: there is a newer one")

    seen = Seen(stale)
    async with standing(redis_url, store, seen):
        await eventually(lambda: len(seen.fences) > 1)
    assert seen.fences == [1, 2]


async def test_work_that_fails_is_begun_again(redis_url: str, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    async def fails(fence: int) -> None:
        if fence < 3:
            raise KeyError("a mistake")

    seen = Seen(fails)
    async with standing(redis_url, store, seen):
        await eventually(lambda: seen.fences == [1, 2, 3])
    assert caplog.text.count("What the leader does failed; another try follows.") == 2


async def test_nobody_leads_without_a_bucket(
    redis_url: str, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailable("the bucket is away")

    seen = Seen()
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "create", away)
        async with standing(redis_url, store, seen) as lease:
            await eventually(lambda: "Cannot lead: StoreUnavailable: the bucket is away" in caplog.text)
            assert not lease.leads()
    assert (seen.fences, newest_fence(store, "build")) == ([], 0)


async def test_a_cancellation_is_never_missed(redis_url: str) -> None:
    """redis-py sends within wait_for, which forgot nine of ten cancellations of a busy task before Python 3.12."""
    redis, dice = connect(redis_url), random.Random(5)

    async def busy() -> None:
        while True:
            await redis.set("lim:busy", "1")

    for _ in range(50):
        task = asyncio.create_task(busy())
        for _ in range(dice.randrange(1, 60)):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=2.0)
        assert done, "the task goes on"
    await redis.delete("lim:busy")
    await redis.aclose()


async def test_what_misses_a_cancellation_is_ended() -> None:
    cancels = 0

    async def deaf() -> None:
        nonlocal cancels
        while cancels < 3:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            cancels += 1

    async def fails() -> None:
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        await together(deaf(), fails())
    assert cancels == 3
    task = asyncio.create_task(asyncio.Event().wait())
    assert await ended([task], limit_s=5.0) == set()
    assert task.cancelled()
