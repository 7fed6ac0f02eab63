"""Real matcher processes for tests, and requests as they lie on the wire."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import redis
from numpy.typing import ArrayLike
from waiting import wait_until

from manager.embedded.processes import Child, free_port
from matcher.messages import unpacked

QUICK = {"LIM_MATCHER__POLL_S": "0.2", "LIM_MATCHER__SEARCH_THREADS": "1"}


def environment(folder: Path, redis_url: str) -> dict[str, str]:
    """What a command needs to find the test's own Redis, bucket and cache, and nobody's settings."""
    return {
        "LIM_REDIS__URL": redis_url, "LIM_STORAGE__BUCKET": str(folder / "bucket"), "LIM_CACHE__FOLDER": str(folder / "cache"),
        "XDG_STATE_HOME": str(folder / "state"), "LIM_SETTINGS": "",
    }  # fmt: skip


@dataclass
class Matcher:
    """A running `lim matcher`."""

    child: Child
    port: int

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page; (0, "") while nothing listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def indexes(self) -> dict[str, str]:
        """Index id by label, of what serves."""
        return {one["label"]: one["index_id"] for one in self.page("/indexes")["indexes"] if not one["retired"]}

    def not_loaded(self, label: str) -> dict[str, Any]:
        """Why the newest index of a label is not loaded; {} when it is."""
        return next((one for one in self.page("/indexes")["not_loaded"] if one["label"] == label), {})

    def page(self, path: str) -> dict[str, Any]:
        """A page of JSON."""
        return dict(json.loads(self.get(path)[1] or '{"indexes": [], "not_loaded": []}'))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        os.kill(self.child.pid, number)


@dataclass
class Matchers:
    """Starts matchers over one bucket and one Redis; `matchers` below stops them."""

    folder: Path
    redis_url: str
    running: list[Matcher] = field(default_factory=list)

    def start(self, name: str = "one", **environ: str) -> Matcher:
        """A matcher that is ready."""
        matcher = self.begin(name, **environ)
        matcher.child.wait_ready(lambda: matcher.get("/healthcheck")[0] == 200)
        return matcher

    def begin(self, name: str, **environ: str) -> Matcher:
        """A matcher that has just been started."""
        port = free_port()
        command = [sys.executable, "-m", "configs.cli", "matcher", "--port", str(port), "--id", name]
        log = self.folder / f"{name}.log"
        child = Child(name, command, log, environment(self.folder, self.redis_url) | QUICK | environ)
        matcher = Matcher(child.start(), port)
        self.running.append(matcher)
        return matcher


@contextmanager
def matchers(folder: Path, redis_url: str) -> Iterator[Matchers]:
    """Matchers that end with the block; none may have written a traceback."""
    group = Matchers(folder, redis_url)
    try:
        yield group
    finally:
        for one in group.running:
            with suppress(ProcessLookupError):
                one.signal(signal.SIGCONT)
            one.child.stop()
    for one in group.running:
        text = one.child.log.read_text(errors="replace")
        assert "Traceback" not in text, f"{one.child.name}:\n{text[-3000:]}"


_numbers = itertools.count()


class Wire:
    """Requests written and answers read with a plain Redis client, as another client would."""

    def __init__(self, url: str) -> None:
        self.redis = redis.Redis.from_url(url, protocol=2)
        self.pubsub = self.redis.pubsub(ignore_subscribe_messages=True)
        self.channel = f"test:{next(_numbers)}"
        self.pubsub.subscribe(self.channel)
        wait_until(lambda: self.redis.pubsub_numsub(self.channel)[0][1] == 1, what="the subscription")

    def close(self) -> None:
        """Hand the connections back."""
        self.pubsub.close()
        self.redis.close()

    def send(self, stream: str, descriptor: ArrayLike | bytes = b"", **fields: str | int | bytes | None) -> str:
        """Add a request, of protocol 1 unless v=None; returns its rid."""
        blob = descriptor if isinstance(descriptor, bytes) else np.asarray(descriptor, "<f4").tobytes()
        entry: dict[str, Any] = {
            "rid": f"rid-{next(_numbers)}", "v": 1, "descriptor": blob, "limit": 3, "response_channel": self.channel,
        }  # fmt: skip
        entry = {name: value for name, value in (entry | fields).items() if value is not None}
        self.redis.xadd(stream, entry)
        return str(entry.get("rid", ""))

    def messages(self, count: int, timeout_s: float = 10.0) -> list[bytes]:
        """The next messages on our channel; fewer when no more come in time."""
        found: list[bytes] = []
        until = time.monotonic() + timeout_s
        while len(found) < count and time.monotonic() < until:
            if message := self.pubsub.get_message(timeout=max(0.01, until - time.monotonic())):
                found.append(message["data"])
        return found

    def answer(self, rid: str) -> dict[str, Any]:
        """The answer to a request, which must be the next one to come."""
        (message,) = self.messages(1)
        (answer,) = unpacked(message)
        assert answer["rid"] == rid
        return answer

    def ask(
        self, stream: str, descriptor: ArrayLike | bytes = b"", **fields: str | int | bytes | None
    ) -> dict[str, Any]:
        """Send one request, return its answer."""
        return self.answer(self.send(stream, descriptor, **fields))
