"""Fixtures: real servers, started once a session; real descriptors."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from manager.embedded.seaweed import S3, start_seaweed
from manager.embedded.valkey import start_valkey

sys.path.insert(0, str(Path(__file__).parent))  # the tests' own modules, `waiting` for one

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for the session."""
    folder = tmp_path_factory.mktemp("valkey")
    child, url = start_valkey(folder / "data", folder / "log")
    yield url
    child.stop()


@pytest.fixture
def redis_url(valkey_url: str) -> str:
    """The session's server, empty."""
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    return valkey_url


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A real S3 server for the session; its keys are in the environment, where production has them as well."""
    folder = tmp_path_factory.mktemp("seaweed")
    server = start_seaweed(folder / "data", folder / "log")
    names = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    yield server
    server.child.stop()
    for name, value in before.items():
        if value is None:
            os.environ.pop(name)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real descriptors and photos beside the project; missing is a failure in CI and a skip on a laptop."""
    if not SHARED.exists():
        message = f"real faces are not at {SHARED}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def no_process_left() -> Iterator[None]:
    """Every child of the session has ended when it ends."""
    yield
    left = [child for child in psutil.Process().children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]
    names = [" ".join(child.cmdline())[:120] for child in left]
    allowed = ("resource_tracker", "multiprocessing.spawn", "forkserver")
    assert not [name for name in names if name and not any(word in name for word in allowed)], names
