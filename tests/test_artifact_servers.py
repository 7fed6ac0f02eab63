"""Buckets of real servers and folders: seen by an independent client, killed writers, servers that are no good."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import minio
import pytest
from minio.deleteobjects import DeleteObject

from configs.settings import Storage
from manager.embedded.processes import Child, free_port
from manager.embedded.seaweed import S3
from pipeline.artifact import ConditionsIgnored, Store, StoreUnavailable, open_store
from pipeline.artifact.s3_session import moment, session

WRITER = """
import sys, time
from configs.settings import Storage
from pipeline.artifact import open_store
def chunks():
    yield bytes(9 << 20)
    yield bytes(9 << 20)
    print("half", flush=True)
    time.sleep(600)
open_store(sys.argv[1], Storage(endpoint_url=sys.argv[2])).write_from("whole/one.dat", chunks())
"""
STRANGER = """
import sys
from configs.settings import Storage
from pipeline.artifact import StoreUnavailable, open_store
store = open_store("s3://lim/x", Storage(endpoint_url=sys.argv[1]))
for call in (store.keys, lambda: store.read("key"), lambda: store.create("key", b"x")):
    try:
        call()
    except StoreUnavailable as error:
        print(error)
"""
RCLONE = Path(sys.executable).with_name("rclone")


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def store(s3_server: S3, prefix: str) -> Store:
    return open_store(f"s3://{s3_server.bucket}/{prefix}", Storage(endpoint_url=s3_server.endpoint))


@pytest.fixture
def witness(s3_server: S3) -> minio.Minio:
    return minio.Minio(
        s3_server.endpoint.removeprefix("http://"),
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
        secure=False,
    )


@pytest.mark.parametrize("nbytes", [0, 1000, 9 << 20])
@pytest.mark.parametrize("key", ["plain", "a/Zürich%2F人 +.dat"])
def test_another_client_reads_what_we_wrote(
    store: Store, witness: minio.Minio, s3_server: S3, prefix: str, key: str, nbytes: int
) -> None:
    data = os.urandom(nbytes)
    store.write(key, data)
    found = witness.get_object(s3_server.bucket, f"{prefix}/{key}")
    assert found.read() == data
    found.close()
    found.release_conn()
    names = [one.object_name for one in witness.list_objects(s3_server.bucket, f"{prefix}/", recursive=True)]
    assert names == [f"{prefix}/{key}"]
    entry, stat = store.entries()[key], witness.stat_object(s3_server.bucket, names[0])
    assert stat.last_modified is not None
    assert (entry.etag.strip('"'), int(entry.modified)) == (stat.etag, int(stat.last_modified.timestamp()))


def test_we_read_what_another_client_wrote(
    store: Store, witness: minio.Minio, s3_server: S3, prefix: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(data := os.urandom(6 << 20))
    witness.fput_object(s3_server.bucket, f"{prefix}/ä/one", str(path), part_size=5 << 20)
    assert store.keys() == ["ä/one"]
    assert store.read("ä/one") == data
    assert store.read_range("ä/one", 5 << 20, 10) == data[5 << 20 :][:10]
    refused = witness.remove_objects(s3_server.bucket, [DeleteObject(f"{prefix}/ä/one")])
    assert list(refused) == []
    assert store.keys() == []


def test_more_keys_than_a_page_of_the_listing(store: Store) -> None:
    keys = [f"many/{number:04d}" for number in range(1003)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.write(key, b""), keys))
    assert store.keys("many/") == keys
    store.delete_prefix("many/")
    assert store.keys() == []


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_killed_writer_leaves_nothing_to_see(kind: str, s3_server: S3, prefix: str, tmp_path: Path) -> None:
    url = str(tmp_path) if kind == "folder" else f"s3://{s3_server.bucket}/{prefix}"
    command = [sys.executable, "-c", WRITER, url, s3_server.endpoint]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"half\n"
        writer.kill()
    store = open_store(url, Storage(endpoint_url=s3_server.endpoint))
    assert store.keys() == []
    assert store.create("whole/one.dat", b"another").nbytes == 7
    assert store.read("whole/one.dat") == b"another"


def test_pickled_bytes_carry_no_key(store: Store, s3_server: S3) -> None:
    store.write("key", b"x")  # connects, so that there is something to carry
    storage = Storage(endpoint_url=s3_server.endpoint, access_key="open sesame", secret_key=s3_server.secret_key)
    for one in (store, open_store(store.url, storage)):
        pickled = pickle.dumps(one)
        for secret in (s3_server.access_key, s3_server.secret_key, "open sesame"):
            assert secret.encode() not in pickled
            assert secret not in repr(one)


CALLS: dict[str, Callable[[Store], object]] = {
    "read": lambda store: store.read("key"),
    "size": lambda store: store.size("key"),
    "write": lambda store: store.write("key", b"x"),
    "stream": lambda store: store.write_from("key", [b"x"]),
    "create": lambda store: store.create("key", b"x"),
    "list": lambda store: store.keys(),
    "delete": lambda store: store.delete("key"),
    "probe": lambda store: store.check_conditions(),
}


def test_nothing_listens(s3_server: S3) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    store = open_store("s3://lim/x", Storage(endpoint_url=endpoint))
    start = time.monotonic()
    with pytest.raises(StoreUnavailable, match=f"s3://lim/x at {endpoint}: .*connect"):
        store.read("key")
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("call", ["write", "stream", "create", "probe"])
def test_a_folder_that_cannot_be_written(call: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"/sys/.*check the folder's owner, mode and free space"):
        CALLS[call](open_store("/sys/lim"))


@pytest.mark.parametrize("call", sorted(CALLS))
def test_a_file_in_place_of_the_folder(call: str, tmp_path: Path) -> None:
    path = tmp_path / "bucket"
    path.write_bytes(b"not a folder")
    with pytest.raises(StoreUnavailable, match="check the folder"):
        CALLS[call](open_store(path.as_uri()))
    assert path.read_bytes() == b"not a folder"


@pytest.fixture(scope="module")
def rclone(s3_server: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """A real S3 server that grants every condition, with one bucket, `lim`."""
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "served" / "lim").mkdir(parents=True)
    port, log = free_port(), folder / "log"
    command = [
        str(RCLONE), "serve", "s3", f"--addr=127.0.0.1:{port}", f"--config={folder / 'no.conf'}",
        f"--auth-key={s3_server.access_key},{s3_server.secret_key}", str(folder / "served"),
    ]  # fmt: skip
    child = Child("rclone", command, log).start()
    child.wait_ready(lambda: b"Starting s3 server" in log.read_bytes())
    yield Storage(endpoint_url=f"http://127.0.0.1:{port}")
    child.stop()


def test_probe_knows_a_server_that_ignores_conditions(rclone: Storage) -> None:
    store = open_store("s3://lim/some", rclone)
    with pytest.raises(ConditionsIgnored, match=r"second create-if-absent .* was granted.*conditional_writes"):
        store.check_conditions()
    assert store.keys() == []


@pytest.mark.parametrize("call", ["read", "write", "stream", "create", "list", "probe"])
def test_no_such_bucket(call: str, rclone: Storage) -> None:
    store = open_store("s3://not-there/x", rclone)
    with pytest.raises(StoreUnavailable, match="no bucket 'not-there': create it first"):
        CALLS[call](store)


class ReadOnly(BaseHTTPRequestHandler):
    """What S3 answers to keys that may read only; a DeleteObjects is 200 and lists the refusals."""

    protocol_version = "HTTP/1.1"  # which answers `Expect: 100-continue`

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(403, "<Error><Code>AccessDenied</Code><Message>read only</Message></Error>")

    def do_POST(self) -> None:
        if "delete" not in self.path:
            return self.do_PUT()
        self.rfile.read(int(self.headers["Content-Length"]))
        refusal = "<Error><Key>x/key</Key><Code>AccessDenied</Code><Message>read only</Message></Error>"
        return self.answer(200, f"<DeleteResult>{refusal}</DeleteResult>")

    def answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.mark.parametrize("call", ["write", "stream", "create", "delete", "probe"])
def test_a_bucket_that_cannot_be_written(call: str, s3_server: S3) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), ReadOnly) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        store = open_store("s3://lim/x", Storage(endpoint_url=f"http://127.0.0.1:{server.server_port}"))
        try:
            with pytest.raises(StoreUnavailable, match=r"s3://lim/x.*AccessDenied.*read only"):
                CALLS[call](store)
        finally:
            server.shutdown()
            thread.join()


def test_wrong_keys(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not the key")
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, s3_server.endpoint], capture_output=True, text=True, timeout=50
    )
    assert done.stdout.count(": SignatureDoesNotMatch: ") == 3, done.stderr
    assert "not the key" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("2026-11-24T22:50:00Z", 1_795_560_600.0), ("2026-11-24T22:50:00.250Z", 1_795_560_600.25),
        ("2026-11-24T23:50:00+01:00", 1_795_560_600.0), ("Tue, 24 Nov 2026 22:50:00 GMT", 1_795_560_600.0),
        (1_795_560_600, 1_795_560_600.0),
    ],
)  # fmt: skip
def test_times_are_read_however_a_server_writes_them(written: str | int, seconds: float) -> None:
    assert moment(written).timestamp() == seconds


def test_listings_are_read_by_that() -> None:
    parser = session().get_component("response_parser_factory").create_parser("rest-xml")
    assert parser._timestamp_parser is moment
