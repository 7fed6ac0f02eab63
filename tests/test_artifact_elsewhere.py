"""Stores where they are used: a second S3 server, Dask workers, event loops, forks, racing processes, bad networks."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import struct
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import minio
import pytest
import test_artifact_store

from configs.settings import Storage
from manager.embedded.processes import Child, free_port
from manager.embedded.seaweed import S3
from pipeline.artifact import ArtifactMissing, File, Store, StoreUnavailable, open_store

RACER = """
import sys
from configs.settings import Storage
from pipeline.artifact import ArtifactChanged, ArtifactExists, open_store
store = open_store(sys.argv[1], Storage(endpoint_url=sys.argv[2]))
store.keys()
etag = store.read_entry("head")[1]
print("ready", flush=True)
sys.stdin.readline()
for call, lost in (
    (lambda: store.create("new", sys.argv[3].encode()), ArtifactExists),
    (lambda: store.replace("head", sys.argv[3].encode(), etag), ArtifactChanged),
):
    try:
        call()
        print("won", flush=True)
    except lost:
        print("lost", flush=True)
"""


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """A second implementation of S3, with a bucket `lim`."""
    port, log = free_port(), tmp_path_factory.mktemp("moto") / "log"
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    child = Child("moto", command, log).start()
    child.wait_ready(lambda: b"Running on" in log.read_bytes())
    minio.Minio(f"127.0.0.1:{port}", access_key="any", secret_key="any key", secure=False).make_bucket("lim")
    yield Storage(endpoint_url=f"http://127.0.0.1:{port}")
    child.stop()


class TestContractOnMoto(test_artifact_store.TestContract):
    @pytest.fixture
    def store(self, moto: Storage, monkeypatch: pytest.MonkeyPatch) -> Store:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any key")
        return open_store(f"s3://lim/{uuid.uuid4().hex}", moto)


@pytest.fixture
def s3(s3_server: S3) -> Store:
    return open_store(f"s3://{s3_server.bucket}/{uuid.uuid4().hex}", Storage(endpoint_url=s3_server.endpoint))


def one_task(store: Store, number: int) -> int:
    """What a stage does in a worker: read, write, list, be refused."""
    data = store.read(f"in/{number}")
    store.write_from(f"out/{number}", [data, data])
    try:
        store.read("missing")
    except ArtifactMissing:
        return len(store.read_range(f"out/{number}", 0, 10_000))
    return -1


def test_in_the_threads_of_dask_workers(s3: Store) -> None:
    from distributed import Client, LocalCluster

    for number in range(16):
        s3.write(f"in/{number}", bytes(number))
    options = {"n_workers": 1, "threads_per_worker": 4, "processes": True, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        found = client.gather([client.submit(one_task, s3, number, pure=False) for number in range(16)])
    assert found == [2 * number for number in range(16)]
    assert len(s3.keys("out/")) == 16


async def test_beside_an_event_loop_and_on_it(s3: Store) -> None:
    for number in range(8):
        s3.write(f"in/{number}", bytes(number))  # blocks this loop, and works all the same
    found = await asyncio.gather(*(asyncio.to_thread(one_task, s3, number) for number in range(8)))
    assert found == [2 * number for number in range(8)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_in_a_forked_process(s3: Store) -> None:
    s3.write("in/3", b"abc")  # connects before the fork
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(one_task, (s3, 3)).get(30) == 6
    assert s3.read("out/3") == b"abcabc"


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_of_racing_processes_one_wins(kind: str, s3: Store, s3_server: S3, tmp_path: Path) -> None:
    url = s3.url if kind == "s3" else str(tmp_path)
    store = open_store(url, Storage(endpoint_url=s3_server.endpoint))
    store.write("head", b"before")
    command = [sys.executable, "-c", RACER, url, s3_server.endpoint]
    racers = [
        subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(4)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.communicate(timeout=50)[0].split() for racer in racers]
    for step, key in enumerate(("new", "head")):
        outcomes = [lines[step] for lines in said]
        assert sorted(outcomes) == ["lost"] * 3 + ["won"], said
        assert store.read(key) == str(outcomes.index("won")).encode()


BODY = os.urandom(9 << 20)
"""Two parts of the object that the flaky server has."""


class Flaky(BaseHTTPRequestHandler):
    """One object, read or written; every data request first takes a fault of `faults`, if one is left."""

    protocol_version = "HTTP/1.1"
    faults: list[str]
    asked: int

    def do_HEAD(self) -> None:
        self.send(200, b"", len(BODY))

    def do_GET(self) -> None:
        start, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        self.fault(BODY[int(start) : int(last or len(BODY)) + 1])

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.fault(b"")

    def fault(self, body: bytes) -> None:
        kind = type(self)
        kind.asked += 1
        fault = kind.faults.pop(0) if kind.faults else ""
        if fault == "busy":
            self.send(503, b"<Error><Code>SlowDown</Code><Message>later</Message></Error>")
        elif fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif fault == "cut":
            self.send(200, body[: len(body) // 2], len(body))
            self.close_connection = True
        else:
            self.send(206 if "Range" in self.headers else 200, body)

    def send(self, status: int, body: bytes, nbytes: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if nbytes is None else nbytes))
        self.send_header("ETag", '"one"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def flaky(s3_server: S3) -> Iterator[Store]:
    """A bucket on the flaky server; `s3_server` is there for the keys in the environment."""
    Flaky.faults, Flaky.asked = [], 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Flaky) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a reset is no news
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield open_store("s3://lim/x", Storage(endpoint_url=f"http://127.0.0.1:{server.server_port}"))
        server.shutdown()
        thread.join()


CALLS: dict[str, Callable[[Store, Path], object]] = {
    "read": lambda store, _: store.read("key"),
    "range": lambda store, _: store.read_range("key", 0, 1000),
    "download": lambda store, path: store.download("key", path, expect=File.of("key", BODY)),
    "write": lambda store, _: store.write("key", b"x"),
}


@pytest.mark.filterwarnings("ignore:unclosed")  # aiohttp's connection to a server that hung up
@pytest.mark.parametrize("fault", ["busy", "reset", "cut"])
@pytest.mark.parametrize("call", ["read", "range", "download", "write"])
def test_a_fault_that_passes_is_not_noticed(flaky: Store, tmp_path: Path, call: str, fault: str) -> None:
    CALLS[call](flaky, tmp_path / "file")
    quiet, Flaky.asked = Flaky.asked, 0
    Flaky.faults = [fault]
    CALLS[call](flaky, tmp_path / "file")
    repeats = 0 if (fault, call) == ("cut", "write") else 1  # an answer to PUT has no body to cut
    assert Flaky.asked == quiet + repeats
    if call == "download":
        assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.filterwarnings("ignore:unclosed")
@pytest.mark.parametrize("fault", ["reset", "cut"])
@pytest.mark.parametrize("call", ["read", "download"])
def test_a_fault_that_stays_ends_soon(flaky: Store, tmp_path: Path, call: str, fault: str) -> None:
    Flaky.faults = [fault] * 1000
    with pytest.raises(StoreUnavailable, match=r"^s3://lim/x at http[^\n]*check address[^\n]*$"):
        CALLS[call](flaky, tmp_path / "file")
    assert Flaky.asked < 30
    assert list(tmp_path.iterdir()) == []
