"""The manager's pages for tests: a real Redis, a real bucket, the application on a port, no leader that would build."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgpack
import redis
from pages import Visitor
from published import publish_index, unit_rows

from configs.settings import Http, Manager, Redis, Settings, Source, Storage
from manager.application import application
from manager.embedded.valkey import start_valkey
from manager.parts import Parts
from manager.service import Service
from manager.tasks.task import Task
from pipeline.artifact import FORMAT, Store, open_store
from pipeline.web.serving import listening, serving

Got = TypeVar("Got")


@contextmanager
def of_its_own(folder: Path) -> Iterator[World]:
    """One over a Redis of its own, for the tests of a module, each of which has labels of its own."""
    server = start_valkey(folder / "redis", folder / "redis.log")
    try:
        with shown(server.url, folder) as found:
            yield found
    finally:
        server.stop()


@dataclass
class World:
    """A manager that shows, with the loop that it runs on."""

    parts: Parts
    url: str
    loop: asyncio.AbstractEventLoop
    folder: Path

    @property
    def visitor(self) -> Visitor:
        return Visitor(self.url)

    @property
    def store(self) -> Store:
        return self.parts.store

    def do(self, work: Coroutine[Any, Any, Got]) -> Got:
        """Done on the manager's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def publish(self, label: str, index_id: str, **changes: Any) -> None:
        """A version, which serves from now on."""
        publish_index(self.store, label, index_id, unit_rows(1, 20), **changes)
        self.do(self.parts.shelf.refresh())

    def submit(self, label: str, **changes: Any) -> Task:
        """A task in the queue; `changes` are of Task."""
        return self.do(self.parts.tasks.submit(task_of(label, **changes)))

    def claim(self, label: str = "") -> Task:
        """The next task, or that of a label, from now on being built by us."""
        while True:  # those of other tests go first
            task = self.do(self.parts.tasks.claim(1, "tcp://scheduler:8786"))
            assert task is not None
            if label in ("", task.label):
                return task

    def tell(self, task: Task, **told: Any) -> None:
        """Progress of its build."""
        self.do(self.parts.tasks.progress(task.task_id, 1, told))

    def announce(self, matcher_id: str, holds: dict[str, str], **figures: Any) -> None:
        """What a matcher would announce that holds these indexes, by label."""
        told = {
            "id": matcher_id, "format": FORMAT, "protocol": 1, "started": time.time() - 7_500, "loading": [],
            "indexes": [
                {"label": label, "index_id": index_id, "shard": 0, "shards": 1, "rows": 20, "memory": 4_000, "retired": False}
                for label, index_id in holds.items()
            ],
        }  # fmt: skip
        more = {"requests_per_s": 120.0, "answered_per_s": 119.0, "errors_per_s": 0.0, "polled": time.time(), "poll_s": 2.0,
                "memory": 4_000, "memory_limit": 8_000_000_000, "failed": [], "failures": 0} | figures  # fmt: skip
        with redis.Redis.from_url(self.parts.settings.redis.url) as client:
            client.zadd("lim:matchers", {matcher_id: 1e15})
            client.set(f"lim:matcher:{matcher_id}", msgpack.packb(told))
            client.set(f"lim:matcher-figures:{matcher_id}", msgpack.packb(more))
            for label, index_id in holds.items():
                client.set(f"lim:serving:{label}", index_id)
        self.do(self.parts.matchers.look(0.0))


def task_of(label: str, **changes: Any) -> Task:
    """A task as a submission makes it."""
    made = Task(task_id=f"task-of-{label}", label=label, source=f"s3://lists/{label}/*.parquet", content=f"content-{label}",
                fingerprint="f", rows=120_000, submitted_by="page")  # fmt: skip
    return replace(made, **changes)


@contextmanager
def shown(redis_url: str, folder: Path, *, token: str = "", read_token: str = "", **sections: Any) -> Iterator[World]:
    """The pages over what lies in the folder's bucket, until the block ends."""
    (folder / "bucket").mkdir(parents=True, exist_ok=True)
    settings = Settings(
        redis=Redis(url=redis_url), storage=Storage(bucket=str(folder / "bucket")), manager=Manager(poll_s=0.2),
        http=Http(token=token, read_token=read_token), source=Source(template=str(folder / "lists" / "{label}.npy")),
    )  # fmt: skip
    settings = replace(settings, **sections)
    ready, found = threading.Event(), list[World]()
    stop = asyncio.Event()

    async def serve() -> None:
        service = Service(settings, "http://manager-0", open_store(settings.storage.bucket))
        at = listening("127.0.0.1", 0, "http.manager_port")
        doing = [asyncio.create_task(service.parts.shelf.run()), asyncio.create_task(service.parts.health.run())]
        async with serving(application(service.parts), at):
            url = f"http://127.0.0.1:{at.getsockname()[1]}"
            found.append(World(service.parts, url, asyncio.get_running_loop(), folder))
            ready.set()
            await stop.wait()
        service.parts.stopping.set()
        await service._leave(set(doing))

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="pages")
    thread.start()
    try:
        assert ready.wait(30), "the pages answer"
        yield found[0]
    finally:
        if found:
            found[0].loop.call_soon_threadsafe(stop.set)
        thread.join(30)
    assert not thread.is_alive()
