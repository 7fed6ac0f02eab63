"""Processes that lead in turn, move a task and a head as often as they can, and write down what came of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from configs.settings import Manager
from manager.connecting import connect
from manager.embedded.processes import Child
from manager.errors import StaleLeader, Unavailable
from manager.leading.ending import ended
from manager.leading.lease import Lease, now
from manager.tasks.tasks import Tasks
from pipeline.artifact import FenceTooOld, Store, move_head, open_store

LABEL, TASK = "people", "the-task"


@dataclass(frozen=True)
class Line:
    """`what` is leads, head, task, or the same with `refused-` before it; `at` was read before it was done."""

    at: float
    what: str
    fence: int
    who: str


@dataclass
class Leader:
    """One of them."""

    child: Child
    journal: Path

    def lines(self) -> list[Line]:
        """What it wrote down, but for a line that is being written."""
        text = self.journal.read_text() if self.journal.exists() else ""
        return [Line(**json.loads(line)) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def signal(self, number: signal.Signals) -> None:
        """Pause it or let it go on."""
        os.kill(self.child.pid, number)


@contextmanager
def leaders(
    folder: Path, place: tuple[str, str], lease_s: float, count: int = 2, *, stubborn: bool = False
) -> Iterator[list[Leader]]:
    """So many of them, over a bucket and a Redis, ended with the block; none may have written a traceback."""
    found = []
    try:
        for number in range(count):
            name, journal = f"leader-{number}", folder / f"{number}.jsonl"
            command = [sys.executable, __file__, " ".join(place), str(lease_s), str(journal), name, str(stubborn)]
            endpoint = {"LIM_TEST_ENDPOINT": os.environ.get("LIM_TEST_ENDPOINT", "")}
            found.append(Leader(Child(name, command, folder / f"{name}.log", endpoint).start(), journal))
        yield found
    finally:
        for one in found:
            with suppress(ProcessLookupError):
                one.signal(signal.SIGCONT)
            one.child.stop()
    for one in found:
        assert "Traceback" not in one.child.log.read_text(), one.child.log.read_text()


def merged(found: list[Leader]) -> list[Line]:
    """Everything by time."""
    return sorted((line for one in found for line in one.lines()), key=lambda line: line.at)


@dataclass
class Working:
    """What each process does while it leads."""

    lease: Lease
    tasks: Tasks
    store: Store
    out: IO[str]
    who: str
    stubborn: bool
    """Goes on when it is told to stop: only the fences keep it from harm."""
    going_on: list[asyncio.Task[None]] = field(default_factory=list)

    def note(self, at: float, what: str, fence: int) -> None:
        """One line, whole."""
        self.out.write(json.dumps(Line(at, what, fence, self.who).__dict__) + "\n")
        self.out.flush()

    async def work(self, fence: int) -> None:
        """Tries for ever, whatever is refused: only the lease may end it, or not even that."""
        if self.stubborn:
            self.going_on.append(asyncio.create_task(self._try(fence)))
            await asyncio.Event().wait()
        await self._try(fence)

    async def _try(self, fence: int) -> None:
        with suppress(StaleLeader):
            if not await self.tasks.adopt(fence):
                await self.tasks.claim(fence, self.who)
        number = 0
        while True:
            at = now()
            if self.lease.leads() and self.lease.fence == fence:
                self.note(at, "leads", fence)
            await self._try_task(fence, number)
            await self._try_head(fence, number)
            number += 1
            await asyncio.sleep(0.002)

    async def _try_task(self, fence: int, number: int) -> None:
        at = now()
        try:
            await self.tasks.progress(TASK, fence, {"stage": "encode", "items": 1 << 30, "finished": number})
        except StaleLeader:
            self.note(at, "refused-task", fence)
        except Unavailable:
            return
        else:
            self.note(at, "task", fence)

    async def _try_head(self, fence: int, number: int) -> None:
        at = now()
        try:
            await asyncio.to_thread(move_head, self.store, LABEL, f"{fence}-{number}", fence=fence)
        except FenceTooOld:
            self.note(at, "refused-head", fence)
        else:
            self.note(at, "head", fence)


async def main(place: str, lease_s: str, journal: str, who: str, stubborn: str) -> None:
    """Lead whenever it can, until SIGTERM; `place` is bucket and Redis with a blank between."""
    from configs.settings import Storage

    bucket, redis_url = place.split()
    section = Manager(lease_s=float(lease_s))
    store = open_store(bucket, Storage(endpoint_url=os.environ.get("LIM_TEST_ENDPOINT", "")))
    store.check_conditions()  # as a manager does when it starts
    leases, redis = connect(redis_url, tries=0), connect(redis_url)
    lease = Lease(leases, store, section, who)
    with Path(journal).open("a") as out:  # noqa: ASYNC230 - before anything waits for this loop
        working = Working(lease, Tasks(redis, section), store, out, who, stubborn == "True")
        holding = asyncio.create_task(lease.hold(working.work))
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        await stopping.wait()
        await ended([holding, *working.going_on])
    await leases.aclose()
    await redis.aclose()


if __name__ == "__main__":
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    asyncio.run(main(*sys.argv[1:]))
