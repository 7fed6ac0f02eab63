"""Fixtures: real servers, started once a session; real descriptors; nothing left behind."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from manager.embedded.seaweed import S3, start_seaweed
from manager.embedded.valkey import Valkey, start_valkey

sys.path.insert(0, str(Path(__file__).parent))  # the tests' own modules, `waiting` for one

import answering
import crowd as crowds
from browsing import chromium
from matchers import Wire
from playwright.sync_api import Browser

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def no_process_left() -> Iterator[None]:
    """Every child of the session has ended when it ends."""
    yield
    allowed = ("resource_tracker", "forkserver")  # of multiprocessing: they end with their parent
    children = psutil.Process().children(recursive=True)
    psutil.wait_procs([child for child in children if not any(word in _command(child) for word in allowed)], timeout=5)
    left = [_command(child) for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert not [command for command in left if not any(word in command for word in allowed)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:200]
    except psutil.Error:  # it ended meanwhile
        return ""


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for the session; tests ask for `redis_url`, the same server emptied."""
    folder = tmp_path_factory.mktemp("valkey")
    server = start_valkey(folder / "data", folder / "log")
    yield server.url
    server.stop()


@pytest.fixture
def redis_url(valkey_url: str) -> str:
    """The session's server, empty."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    return valkey_url


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Valkey]:
    """A server of this test's own, to kill() and restart(): same port, and its append-only file brings the data back."""
    server = start_valkey(tmp_path / "redis", tmp_path / "redis.log")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A real S3 server for the session; its keys are in the environment, where production has them as well."""
    folder = tmp_path_factory.mktemp("seaweed")
    server = start_seaweed(folder / "data", folder / "log")
    names = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    yield server
    server.stop()
    for name, value in before.items():
        if value is None:
            os.environ.pop(name)
        else:
            os.environ[name] = value


@pytest.fixture
def s3_url(s3_server: S3) -> str:
    """s3://bucket/prefix on the session's server, with a prefix of this test's own."""
    return f"{s3_server.url}/{uuid.uuid4().hex}"


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Chromium; a test that asks for it is skipped where there is none."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def world(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[answering.World]:
    """One matcher over a few labels, for the tests of a module."""
    with answering.answering(valkey_url, tmp_path_factory.mktemp("world")) as found:
        yield found


@pytest.fixture
def wire(world: answering.World) -> Iterator[Wire]:
    """Requests to that matcher as another client would write them."""
    line = Wire(world.url)
    yield line
    line.close()


@pytest.fixture
def crowd(redis_url: str, tmp_path: Path) -> Iterator[crowds.World]:
    """A bucket with one index, for matchers that a test starts and ends."""
    with crowds.world_of(tmp_path, redis_url) as found:
        yield found


@pytest.fixture
def mail(crowd: crowds.World) -> Iterator[crowds.Mail]:
    """Requests to them that nobody repeats."""
    found = crowds.Mail(crowd.url, crowd.index)
    yield found
    found.close()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real descriptors and photos beside the project; missing is a failure in CI and a skip on a laptop."""
    if not SHARED.exists():
        message = f"real faces are not at {SHARED}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return SHARED
