"""Nothing that was acknowledged is lost, whatever happens to Redis; what is repeated happens once."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from sentinels import Watched, watched
from tasks import tasks_at, wished
from waiting import eventually, wait_until

from manager.connecting import connect
from manager.embedded.valkey import Valkey
from manager.errors import StaleLeader, TaskExists, Unavailable
from manager.tasks import durable
from manager.tasks.finding import Wanted
from manager.tasks.tasks import Tasks

SEED = 20


class Submitting:
    """Submits one after the other for ever, each until it is acknowledged."""

    def __init__(self, tasks: Tasks, name: str) -> None:
        self.tasks, self.name = tasks, name
        self.acknowledged: list[str] = []
        self.refused = 0

    async def run(self) -> None:
        number = 0
        while True:
            task_id = f"{self.name}-{number}"
            try:
                await self.tasks.submit(wished(task_id, f"l{number % 7}"))
            except Unavailable:
                self.refused += 1
                await asyncio.sleep(0)
                continue
            self.acknowledged.append(task_id)
            number += 1


@asynccontextmanager
async def submitting(url: str, clients: int = 2, **section: int) -> AsyncIterator[list[Submitting]]:
    """Clients that submit meanwhile."""
    async with tasks_at(url, **section) as tasks:
        found = [Submitting(tasks, f"c{number}") for number in range(clients)]
        running = [asyncio.create_task(one.run()) for one in found]
        try:
            yield found
        finally:
            for one in running:
                one.cancel()
            ended = await asyncio.gather(*running, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended


async def lost(url: str, clients: list[Submitting]) -> set[str]:
    """What was acknowledged and is not there."""
    async with tasks_at(url) as tasks:
        there = {task.task_id for task in (await tasks.find(Wanted(), 100_000)).tasks}
        waiting = await tasks.waiting(100_000)
    assert len(waiting) == len(set(waiting)) == len(there)
    return {task_id for one in clients for task_id in one.acknowledged} - there


async def more(clients: list[Submitting], count: int = 20) -> None:
    """Until each has that many more acknowledged."""
    goals = [len(one.acknowledged) + count for one in clients]

    def done() -> bool:
        return all(len(one.acknowledged) >= goal for one, goal in zip(clients, goals, strict=True))

    await eventually(done, timeout_s=40, what=f"{count} more submissions of each client")


async def test_killed_and_started_again(redis_server: Valkey) -> None:
    async with submitting(redis_server.url) as clients:
        for _ in range(2):
            await more(clients)
            redis_server.kill()
            redis_server.restart()
        await more(clients)
    assert await lost(redis_server.url, clients) == set()


async def test_moves_survive_a_kill(redis_server: Valkey) -> None:
    async with tasks_at(redis_server.url) as tasks:
        for name in ("one", "two", "three"):
            await tasks.submit(wished(name, name))
        for _ in range(2):
            await tasks.claim(7, "here")
        before = [await tasks.succeed("one", 7, 5, "d"), await tasks.get("two"), await tasks.get("three")]
        redis_server.kill()
        redis_server.restart()
        assert [await tasks.get(name) for name in ("one", "two", "three")] == before
        assert [task.task_id for task in await tasks.adopt(8)] == ["two"]
        next_one = await tasks.claim(8, "here")
        assert next_one
        assert next_one.task_id == "three", "its scripts are known again"


async def test_events_survive_a_kill(redis_server: Valkey) -> None:
    """Whoever listens is told that something may have been missed."""
    async with tasks_at(redis_server.url) as tasks:
        said: list[str] = []

        async def listen() -> None:
            async for message in tasks.events():
                said.insert(len(said), message["task_id"])

        listening = asyncio.create_task(listen())
        await eventually(lambda: said == [""], what="the subscription")
        await tasks.submit(wished("one"))
        await eventually(lambda: said == ["", "one"], what="the event")
        redis_server.kill()
        redis_server.restart()
        await eventually(lambda: said == ["", "one", ""], what="the second subscription")
        await tasks.submit(wished("two"))
        await eventually(lambda: len(said) == 4, what="an event")
        assert said == ["", "one", "", "two"]
        listening.cancel()


CLIENT = """
import asyncio, sys
sys.path[:0] = sys.argv[3:]
from manager.errors import AlreadyIndexed, TaskExists
from tasks import tasks_at, wished
from random import Random

async def main(url, name):
    numbers = list(range(60))
    Random(name).shuffle(numbers)
    made = 0
    async with tasks_at(url) as tasks:
        async def one(number):
            try:
                await tasks.submit(wished(f"{name}-{number}", f"l{number % 5}", fingerprint=str(number)))
            except TaskExists as error:
                assert error.task_id.endswith(f"-{number}")
                return 0
            return 1
        for first in range(0, 60, 10):
            made += sum(await asyncio.gather(*map(one, numbers[first:first + 10])))
    print(made)

asyncio.run(main(*sys.argv[1:3]))
"""


async def test_four_clients_with_the_same_contents(redis_url: str) -> None:
    """As processes, all at once: each content is queued once."""
    path = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    commands = [[sys.executable, "-c", CLIENT, redis_url, f"c{number}", *path] for number in range(4)]
    running = [await asyncio.create_subprocess_exec(*one, stdout=subprocess.PIPE) for one in commands]
    said = await asyncio.gather(*(one.communicate() for one in running))
    assert sum(int(out) for out, _ in said) == 60
    async with tasks_at(redis_url) as tasks:
        found = (await tasks.find(Wanted(), 1_000)).tasks
        assert sorted(int(task.fingerprint) for task in found) == list(range(60))
        assert (await tasks.counts())["pending"] == 60


async def test_two_leaders_claim_one_task_each(redis_url: str) -> None:
    """An older one gets nothing any more, even while both ask at once."""
    async with tasks_at(redis_url) as tasks, tasks_at(redis_url) as others:
        for number in range(40):
            await tasks.submit(wished(f"t{number}", f"l{number}"))

        async def claims(of: Tasks, fence: int) -> list[str]:
            found = []
            with suppress(StaleLeader):
                while task := await of.claim(fence, "here"):
                    found.append(task.task_id)
            return found

        old, new = await asyncio.gather(claims(tasks, 1), claims(others, 2))
        assert sorted(old + new) == sorted(f"t{number}" for number in range(40))
        assert len(new) > len(old)
        assert len(await others.adopt(2)) == 40


async def test_replicas_are_waited_for(redis_server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "WAIT_MS", 200)
    async with tasks_at(redis_server.url, replicas=1) as tasks:
        with pytest.raises(Unavailable, match=r"expected 1 to have the submission within 0.2 s, got 0 of 0 connected"):
            await tasks.submit(wished("one"))
        with pytest.raises(Unavailable):
            await tasks.submit(wished("one"))
    async with tasks_at(redis_server.url) as tasks:
        assert (await tasks.submit(wished("one"))).status == "pending", "written all the same, and here acknowledged"


@pytest.mark.timeout(120)
async def test_a_repeat_waits_for_replicas_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeat that wrote nothing would be no proof that a replica has what was written before."""
    group = Watched(tmp_path)
    try:
        master = group.start_server()
        replica = group.start_server(of=master)
        url = f"redis://127.0.0.1:{master}/0"
        async with tasks_at(url) as tasks, connect(url) as redis:
            await eventually(lambda: linked(group, master), what="the replica")
            await tasks.submit(wished("one"))
            with group.line(replica) as line:
                assert line.hget("lim:task:one", "status") == "pending"
            group.signal(replica, signal.SIGSTOP)
            monkeypatch.setattr(durable, "WAIT_MS", 300)
            for wished_id in ("two", "two", "three"):
                with pytest.raises(Unavailable, match="got 0 of 1 connected"):
                    await tasks.submit(wished(wished_id, "other", fingerprint="same"))
                await redis.ping()
            group.signal(replica, signal.SIGCONT)
            monkeypatch.setattr(durable, "WAIT_MS", 2_000)
            assert (await tasks.submit(wished("two", "other", fingerprint="same"))).status == "pending"
            with pytest.raises(TaskExists):
                await tasks.submit(wished("three", "other", fingerprint="same"))
    finally:
        group.stop()


def linked(group: Watched, master: int) -> bool:
    with group.line(master) as line:
        return bool(line.info("replication").get("slave0", {}).get("state") == "online")


@pytest.mark.drill
@pytest.mark.timeout(240)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
async def test_a_fail_over_loses_nothing(tmp_path: Path, how: signal.Signals) -> None:
    """By real Sentinels: three of them, a master that dies or sleeps and comes back, clients that go on."""
    with watched(tmp_path, sentinels=3, password="hunter2hunter2") as group:
        async with submitting(group.url, 3) as clients:
            await more(clients, 100)
            before = group.master()
            group.signal(before, how)
            await asyncio.to_thread(wait_until, lambda: group.master() != before, timeout_s=40, what="the fail-over")
            await more(clients)
            if how == signal.SIGSTOP:
                group.signal(before, signal.SIGCONT)
            else:
                group.servers[before].kill()
                group.servers[before].start()
            await more(clients, 100)
            await asyncio.to_thread(wait_until, lambda: linked(group, group.master()), timeout_s=60, what="its return")
            await more(clients, 100)
        assert await lost(group.url, clients) == set()


@pytest.mark.drill
@pytest.mark.timeout(300)
async def test_many_kills(redis_server: Valkey) -> None:
    """Redis killed at random moments while tasks are submitted and moved: each is built by one claim, none is lost."""
    chance = random.Random(SEED)
    async with submitting(redis_server.url, 2) as clients, tasks_at(redis_server.url) as leader:
        built: list[str] = []

        async def lead() -> None:
            while True:
                try:
                    if task := await leader.claim(1, "here"):
                        await until(lambda: leader.succeed(task.task_id, 1, 5, "d"))
                        built.append(task.task_id)
                except Unavailable:
                    continue

        async def until(call: Callable[[], Awaitable[object]]) -> None:
            while True:
                try:
                    await call()
                except Unavailable:
                    continue
                return

        leading = asyncio.create_task(lead())
        for _ in range(8):
            await more(clients, chance.randrange(1, 60))
            redis_server.kill()
            redis_server.restart()
        await more(clients, 5)
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)
        assert len(built) == len(set(built)), "a task was claimed twice"
        acknowledged = {task_id for one in clients for task_id in one.acknowledged}
        there = {task.task_id: task for task in (await leader.find(Wanted(), 100_000)).tasks}
        assert acknowledged <= there.keys()
        assert all(there[task_id].attempts == 1 for task_id in built)
