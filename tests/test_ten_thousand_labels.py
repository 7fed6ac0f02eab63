"""Ten thousand labels on a real S3 server: what a poll costs, how long a page takes."""

from __future__ import annotations

import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import msgpack
import pytest
import redis
from counting_proxy import Counting, counting
from managers import Manager, Managers, managers
from matchers import Matchers, matchers
from published import bucket, publish_index, unit_rows
from waiting import wait_until

from configs.settings import Client, Storage
from manager.embedded.seaweed import S3
from matcher.client_sync import SyncMatchClient
from pipeline.artifact import MANIFEST, Head, head_key, index_prefix, open_store

LABELS = 10_000
MOST_REQUESTS = 20
MOST_S = 0.3
"""Of a page of labels."""

AT_ONCE = 500
"""Labels written at a time."""

POLL_S = 3.0


def name(number: int) -> str:
    return f"list-{number:05d}"


def fill(server: S3, prefix: str, folder: Path) -> None:
    """Heads with manifests, all of one small index: a matcher finds its files in its cache after the first label."""
    local = bucket(folder)
    made = publish_index(local, name(0), "one", unit_rows(1, 5, 16)).manifest
    store = open_store(f"{server.url}/{prefix}", Storage(endpoint_url=server.endpoint))
    for key in local.keys(index_prefix(name(0), "one")):
        store.write(key, local.read(key))
    many = store._fs  # type: ignore[attr-defined]  # one object after the other would take six times as long
    for first in range(0, LABELS, AT_ONCE):
        objects = {}
        for label in map(name, range(first, min(first + AT_ONCE, LABELS))):
            objects[index_prefix(label, "one") + MANIFEST] = replace(made, label=label).to_json()
            objects[head_key(label)] = Head(label=label, index_id="one").to_json()
        many.pipe({f"{server.bucket}/{prefix}/{key}": data for key, data in objects.items()}, batch_size=32)


@contextmanager
def counted(server: S3) -> Iterator[tuple[Counting, dict[str, str]]]:
    """A proxy to the server, with the environment that leads there."""
    with counting(urlsplit(server.endpoint).port or 0) as proxy:
        yield proxy, {"LIM_STORAGE__BUCKET": f"{server.url}/many", "LIM_STORAGE__ENDPOINT_URL": proxy.url}


def polled(url: str) -> float:
    """When the matcher says that it last looked at the bucket."""
    with redis.Redis.from_url(url) as client:
        told = client.get("lim:matcher-figures:one")
    return float(msgpack.unpackb(told)["polled"]) if isinstance(told, bytes) else 0.0


def a_look(url: str) -> float:
    """Wait for the next look; returns when it was."""
    before = polled(url)
    wait_until(lambda: polled(url) > before + POLL_S / 2, timeout_s=60, what="a look at the bucket")
    return polled(url)


def seconds(url: str) -> tuple[float, bytes]:
    """How long a page takes, with the page."""
    began = time.monotonic()
    with urllib.request.urlopen(url, timeout=60) as reply:  # noqa: S310 - our own process
        body = reply.read()
    return time.monotonic() - began, body


Say = Callable[[str], None]


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_ten_thousand_labels(s3_server: S3, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def say(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n  {text}")
            sys.stdout.flush()

    began = time.monotonic()
    fill(s3_server, "many", tmp_path / "made")
    say(f"{LABELS} labels written in {time.monotonic() - began:.0f} s")
    with (
        managers(tmp_path, redis_url) as many,
        matchers(tmp_path, redis_url) as group,
        counted(s3_server) as (proxy, environ),
    ):
        manager = look_at_a_new_manager(many, environ, proxy, say)
        with counted(s3_server) as (another, leading_there):
            look_at_a_matcher(group, leading_there, another, redis_url, say)
            look_at_pages(manager, say)
            for one in (*group.running, *many.running):
                one.child.stop()


def look_at_a_new_manager(many: Managers, environ: dict[str, str], proxy: Counting, say: Say) -> Manager:
    """How soon it shows what is there."""
    began = time.monotonic()
    manager = many.start(**environ, LIM_MANAGER__POLL_S=str(POLL_S))
    wait_until(lambda: knows_all(manager), timeout_s=300, what="all labels")
    say(f"a manager knows all labels after {time.monotonic() - began:.1f} s")
    cold = [seconds(f"{manager.url}{path}")[0] for path in ("/labels", "/1/labels?limit=50&cursor=5000")]
    say(f"first pages of labels, while it reads their heads: {', '.join(f'{one * 1e3:.0f}' for one in cold)} ms")
    wait_until(lambda: proxy.counts["get"] >= LABELS, timeout_s=900, what="all heads")
    say(f"it has read all heads after {time.monotonic() - began:.0f} s: {dict(proxy.counts)}")
    return manager


def knows_all(manager: Manager) -> bool:
    status, said = manager.ask("/1/labels?limit=1")
    return status == 200 and said["count"] == LABELS


def look_at_a_matcher(group: Matchers, environ: dict[str, str], proxy: Counting, url: str, say: Say) -> None:
    """Its cold start, then what it asks of the store while nothing changes; it answers for the last label."""
    began = time.monotonic()
    matcher = group.begin("one", **environ, LIM_MATCHER__POLL_S=str(POLL_S))
    wait_until(lambda: matcher.get("/healthcheck")[0] == 200, timeout_s=3000, what="a matcher with all labels")
    taken = time.monotonic() - began
    say(f"a matcher's cold start: {taken:.0f} s, {taken / LABELS * 1e3:.1f} ms a label; {dict(proxy.counts)}")
    with redis.Redis.from_url(url) as client:
        assert len(msgpack.unpackb(client.get("lim:matcher:one"))["indexes"]) == LABELS
    a_look(url)
    counts = []
    for _ in range(3):
        before = proxy.total
        a_look(url)
        counts.append(proxy.total - before)
    say(f"requests of a look with nothing new: {counts}")
    assert 0 < max(counts) <= MOST_REQUESTS
    with SyncMatchClient(url, Client()) as asking:
        answer = asking.match(name(LABELS - 1), unit_rows(1, 5, 16)[2], limit=1)
    assert answer.candidates[0].id == "one-2"


def look_at_pages(manager: Manager, say: Say) -> None:
    """How long pages take, from memory."""
    for path in ("/labels", "/labels?page=100", "/1/labels?limit=50&cursor=7500", "/", "/labels/list-00007"):
        times = sorted(seconds(manager.url + path)[0] for _ in range(15))
        say(f"{path}: median {statistics.median(times) * 1e3:.0f} ms, slowest {times[-1] * 1e3:.0f} ms")
        assert statistics.median(times) < MOST_S
