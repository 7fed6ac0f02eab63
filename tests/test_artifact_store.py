"""One contract for every bucket: memory, a folder, a real S3 server."""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from configs.settings import Storage
from manager.embedded.seaweed import S3
from pipeline.artifact import (
    ArtifactChanged,
    ArtifactCorrupt,
    ArtifactExists,
    ArtifactMissing,
    File,
    Store,
    open_store,
)

KEYS = ("plain", "a/b/c.dat", "indexes/Zürich%2F%E4%BA%BA/x", "имя с пробелом/人.dat", "a+b&c=d#e~f'g[h]*?")


@pytest.fixture(params=["memory", "folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    name = uuid.uuid4().hex
    if request.param == "memory":
        return open_store(f"memory://{name}")
    if request.param == "folder":
        return open_store(str(tmp_path / "bucket"))
    return s3_store(request.getfixturevalue("s3_server"), name)


def s3_store(server: S3, prefix: str) -> Store:
    return open_store(f"s3://{server.bucket}/{prefix}", Storage(endpoint_url=server.endpoint))


def turns(store: Store) -> int:
    """Fewer on the server, whose lock of a contended key lets the losers wait for a second each."""
    return 2 if store.url.startswith("s3") else 50


def raced(task: Callable[[int], object], lost: type[Exception] | tuple[type[Exception], ...]) -> list[int]:
    """The numbers of the threads, of 8 that start together, whose task was not refused with `lost`."""
    start = Barrier(8)
    interval = sys.getswitchinterval()

    def one(number: int) -> bool:
        start.wait()
        try:
            task(number)
        except lost:
            return False
        return True

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            return [number for number, won in enumerate(pool.map(one, range(8))) if won]
    finally:
        sys.setswitchinterval(interval)


class TestContract:
    @pytest.mark.parametrize("key", KEYS)
    def test_what_is_written_is_read(self, store: Store, key: str) -> None:
        data = os.urandom(1000)
        assert store.write(key, data) == File(key, 1000, hashlib.sha256(data).hexdigest())
        assert (store.read(key), store.size(key), store.keys()) == (data, 1000, [key])
        assert b"".join(store.chunks(key)) == data
        store.delete(key)
        assert store.keys() == []

    def test_range(self, store: Store) -> None:
        store.write("key", b"0123456789")
        asked = [(0, 10), (2, 3), (8, 10), (9, 1), (4, 0), (10, 5), (99, 5)]
        found = [store.read_range("key", start, nbytes) for start, nbytes in asked]
        assert found == [b"0123456789", b"234", b"89", b"9", b"", b"", b""]

    @pytest.mark.parametrize("nbytes", [0, 1, 9 << 20])
    def test_write_from_a_stream(self, store: Store, nbytes: int) -> None:
        data = os.urandom(nbytes)
        pieces = [memoryview(data)[start : start + 1_000_000] for start in range(0, nbytes, 1_000_000)]
        assert store.write_from("a/key", pieces) == File.of("a/key", data)
        assert store.read("a/key") == data
        assert store.write_from("a/key", [b"shorter"]).nbytes == 7
        assert store.read("a/key") == b"shorter"

    @pytest.mark.parametrize("nbytes", [0, 5, 9 << 20])
    def test_put_without_a_checksum(self, store: Store, nbytes: int) -> None:
        head, body = b"head", memoryview(os.urandom(nbytes))
        for key in ("new", "old"):
            store.write("old", b"another")
            assert store.put(key, (head, body)) == 4 + nbytes
            assert store.read(key) == head + bytes(body)
        assert store.put("old", iter([b"stream"])) == 6
        assert (store.read("old"), store.keys()) == (b"stream", ["new", "old"])

    @pytest.mark.parametrize("error", [ZeroDivisionError, FileNotFoundError])
    def test_a_stream_that_fails_leaves_what_was_there(self, store: Store, error: type[Exception]) -> None:
        def pieces() -> Iterator[bytes]:
            yield bytes(9 << 20)
            raise error("the stream's own")

        store.write("old", b"old")
        for key in ("old", "new"):
            for write in (store.write_from, store.put):
                with pytest.raises(error):
                    write(key, pieces())
        assert store.keys() == ["old"]
        assert store.read("old") == b"old"

    def test_large_object_and_every_kind_of_buffer(self, store: Store) -> None:
        data = os.urandom(17 << 20)
        assert store.write("large", data) == File.of("large", data)
        assert store.read_range("large", (8 << 20) - 5, 10) == data[(8 << 20) - 5 : (8 << 20) + 5]
        assert b"".join(store.chunks("large")) == data
        for kind in (bytearray, memoryview):
            assert store.write("small", kind(b"abcd")) == File.of("small", b"abcd")
            assert store.read("small") == b"abcd"

    def test_empty_object(self, store: Store) -> None:
        for written in (store.write("empty", b""), store.create("empty too", b"")):
            assert written.nbytes == 0
            assert (store.size(written.key), store.read(written.key), list(store.chunks(written.key))) == (0, b"", [])
        assert store.read_range("empty", 0, 10) == b""

    def test_create_only_what_is_absent(self, store: Store) -> None:
        assert store.create("one", b"first") == File.of("one", b"first")
        with pytest.raises(ArtifactExists, match="one"):
            store.create("one", b"second")
        assert store.read("one") == b"first"

    def test_replace_only_the_version_that_was_read(self, store: Store) -> None:
        with pytest.raises(ArtifactChanged, match="head"):
            store.replace("head", b"x", "0" * 32)
        first = store.replace("head", b"first", None)
        assert store.read_entry("head") == (b"first", first)
        second = store.replace("head", b"other", first)
        assert second != first
        for stale in (first, None):
            with pytest.raises(ArtifactChanged, match="head"):
                store.replace("head", b"third", stale)
        assert store.read_entry("head") == (b"other", second)
        assert store.entries()["head"].etag == second

    def test_entries_by_prefix_sorted(self, store: Store) -> None:
        for key in ("b/2", "b/1", "b-/3", "a", "b/10/4", "c"):
            store.write(key, key.encode())
        assert store.keys("b/") == ["b/1", "b/10/4", "b/2"]
        assert store.keys("b") == ["b-/3", "b/1", "b/10/4", "b/2"]
        assert store.keys("b/1") == ["b/1", "b/10/4"]
        assert [entry.nbytes for entry in store.entries().values()] == [1, 4, 3, 6, 3, 1]
        assert store.keys("nothing/there") == []
        store.delete_prefix("b/")
        assert store.keys() == ["a", "b-/3", "c"]

    def test_delete_many_and_missing(self, store: Store) -> None:
        store.write("here", b"x")
        store.delete("missing", "here", "also/missing")
        store.delete()
        assert store.keys() == []

    def test_copy(self, store: Store) -> None:
        store.write("from", b"one")
        store.copy("from", "to/there")
        store.write("from", b"two")
        store.copy("from", "[from]*")
        store.copy("[from]*", "from again")
        assert [store.read(key) for key in ("to/there", "from", "from again")] == [b"one", b"two", b"two"]
        with pytest.raises(ArtifactMissing):
            store.copy("missing", "to")

    def test_download(self, store: Store, tmp_path: Path) -> None:
        path = tmp_path / "local" / "file"
        path.parent.mkdir()
        file = store.write("key", b"good")
        store.download("key", path, expect=file)
        store.write("key", b"evil")
        with pytest.raises(ArtifactCorrupt, match="key: expected 4 bytes"):
            store.download("key", path, expect=file)
        with pytest.raises(ArtifactMissing):
            store.download("missing", path)
        assert path.read_bytes() == b"good"
        assert list(path.parent.iterdir()) == [path]

    def test_missing_names_the_key(self, store: Store) -> None:
        store.write("folder/key", b"x")
        for key in ("no/such", "folder"):
            for call in (store.read, store.size, store.read_entry, lambda key: store.read_range(key, 0, 1)):
                with pytest.raises(ArtifactMissing, match=key):
                    call(key)

    def test_one_of_eight_creates(self, store: Store) -> None:
        for turn in range(turns(store)):
            [winner] = raced(lambda number, key=f"key{turn}": store.create(key, f"{number}".encode()), ArtifactExists)
            assert store.read(f"key{turn}") == f"{winner}".encode()

    def test_one_of_eight_replaces(self, store: Store) -> None:
        etag: str | None = None
        for turn in range(turns(store)):
            tried = [f"{turn} {number}".encode() for number in range(8)]
            [winner] = raced(
                lambda number, etag=etag, tried=tried: store.replace("head", tried[number], etag), ArtifactChanged
            )
            data, etag = store.read_entry("head")
            assert data == tried[winner]

    def test_create_races_replace_of_nothing(self, store: Store) -> None:
        def task(number: int, key: str) -> None:
            if number % 2:
                store.replace(key, f"{number}".encode(), None)
            else:
                store.create(key, f"{number}".encode())

        for turn in range(turns(store)):
            key = f"key{turn}"
            [winner] = raced(lambda number, key=key: task(number, key), (ArtifactChanged, ArtifactExists))
            assert store.read(key) == f"{winner}".encode()

    def test_writers_and_deleters_do_not_meet(self, store: Store) -> None:
        def task(number: int) -> None:
            for _ in range(20):
                store.write(f"folder/deep/{number}", b"x")
                store.delete(f"folder/deep/{number}")

        assert raced(task, ZeroDivisionError) == list(range(8))

    def test_pickled_without_secrets(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        store.write("key", b"x")
        pickled = pickle.dumps(store)
        secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "")
        assert not secret or secret.encode() not in pickled
        assert pickle.loads(pickled).read("key") == b"x"  # noqa: S301 - our own bytes

    def test_probe_leaves_nothing(self, store: Store) -> None:
        store.check_conditions()
        assert store.keys() == []
