"""The cache of shards: verified, bounded, shared by processes, tidy after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from manifests import manifest_of

from configs.settings import Storage
from manager.embedded.seaweed import S3
from pipeline.artifact import (
    ArtifactCorrupt,
    ArtifactMissing,
    Cache,
    CacheTooSmall,
    File,
    Manifest,
    Memory,
    Shard,
    Store,
    content_digest,
    index_prefix,
    open_store,
    verify,
)

NBYTES = 1000
"""Of one index, in two files."""

HOLDER = """
import sys
from pathlib import Path
from pipeline.artifact import Cache, open_store, read_manifest
cache = Cache(Path(sys.argv[1]), int(sys.argv[3]))
store = open_store(sys.argv[2])
print(cache.fetch(store, read_manifest(store, "people", sys.argv[4])), flush=True)
sys.stdin.read()
"""
KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.artifact import Cache, open_store, read_manifest
store = open_store(sys.argv[2])
manifest = read_manifest(store, "people", sys.argv[4])
download = type(store).download
def killed(self, key, path, *, expect=None):
    if key.endswith("ids.dat"):
        os.kill(os.getpid(), signal.SIGKILL)
    download(self, key, path, expect=expect)
type(store).download = killed
Cache(Path(sys.argv[1]), int(sys.argv[3])).fetch(store, manifest)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "bucket"))


def put(store: Store, index_id: str, shards: int = 1) -> Manifest:
    """An index whose shards are of 1000 bytes each."""
    home = index_prefix("people", index_id)
    found = []
    for shard in range(shards):
        files = []
        for name, nbytes in (("index.dat", 900), ("ids.dat", 100)):
            key = f"shards/{shard:04d}/{name}"
            file = store.write(home + key, os.urandom(nbytes))
            files.append(File(key, file.nbytes, file.sha256))
        found.append(Shard(rows=1, files=tuple(files), memory=Memory(anonymous=1, mapped=1)))
    manifest = manifest_of(index_id=index_id)
    digest = content_digest(manifest.recipe, manifest.parameters, manifest.point, found)
    manifest = replace(manifest, shards=tuple(found), content_digest=digest)
    store.write(home + "meta.json", manifest.to_json())
    return manifest


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "used"}


def cached(cache_folder: Path) -> set[str]:
    """The indexes that lie in a cache."""
    return {path.parent.name.partition("-")[0] for path in cache_folder.rglob("used")}


def test_fetch_gives_the_files_of_the_shard(store: Store, tmp_path: Path) -> None:
    manifest = put(store, "one", shards=2)
    cache = Cache(tmp_path / "cache", 10 * NBYTES)
    folders = [cache.fetch(store, manifest, shard) for shard in range(2)]
    for folder, shard in zip(folders, manifest.shards, strict=True):
        home = index_prefix("people", "one")
        assert content(folder) == {Path(file.key).name: store.read(home + file.key) for file in shard.files}
        verify(folder, shard.files)
    store.delete_prefix("")
    assert [cache.fetch(store, manifest, shard) for shard in range(2)] == folders


def test_verify_names_what_differs(store: Store, tmp_path: Path) -> None:
    manifest = put(store, "one")
    folder = Cache(tmp_path / "cache", NBYTES).fetch(store, manifest)
    data = (folder / "ids.dat").read_bytes()
    (folder / "ids.dat").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ArtifactCorrupt, match=r"shards/0000/ids\.dat: expected 100 bytes with sha256"):
        verify(folder, manifest.shards[0].files)
    (folder / "ids.dat").unlink()
    with pytest.raises(ArtifactCorrupt, match=r"shards/0000/ids\.dat: expected 100 bytes in .*got no such file"):
        verify(folder, manifest.shards[0].files)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "longer", "missing"])
def test_what_is_not_as_the_manifest_says_never_enters(store: Store, tmp_path: Path, damage: str) -> None:
    manifest = put(store, "one")
    key = index_prefix("people", "one") + "shards/0000/ids.dat"
    good = store.read(key)
    bad = {"flipped": good[:-1] + bytes([good[-1] ^ 1]), "truncated": good[:-1], "longer": good + b"x"}
    if damage == "missing":
        store.delete(key)
    else:
        store.write(key, bad[damage])
    cache = Cache(tmp_path / "cache", 10 * NBYTES)
    with pytest.raises(ArtifactMissing if damage == "missing" else ArtifactCorrupt, match=r"shards/0000/ids\.dat"):
        cache.fetch(store, manifest)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["lock"]
    store.write(key, good)
    verify(cache.fetch(store, manifest), manifest.shards[0].files)


def test_a_damaged_folder_is_fetched_again(store: Store, tmp_path: Path) -> None:
    manifest = put(store, "one")
    cache = Cache(tmp_path / "cache", NBYTES)
    folder = cache.fetch(store, manifest)
    cache.release(folder)
    (folder / "index.dat").write_bytes(b"cut")
    verify(cache.fetch(store, manifest), manifest.shards[0].files)
    cache.release(folder)
    (folder / "used").unlink()
    verify(cache.fetch(store, manifest), manifest.shards[0].files)


def test_quota(store: Store, tmp_path: Path) -> None:
    manifest = put(store, "one")
    with pytest.raises(CacheTooSmall, match=r"one(-0000)?: needs 1,000 bytes, cache\.quota_bytes allows 999: raise it"):
        Cache(tmp_path / "cache", NBYTES - 1).fetch(store, manifest)
    assert cached(tmp_path / "cache") == set()
    Cache(tmp_path / "cache", NBYTES).fetch(store, manifest)


def test_the_least_recently_used_goes_first(store: Store, tmp_path: Path) -> None:
    manifests = {name: put(store, name) for name in "abcd"}
    cache = Cache(tmp_path / "cache", 3 * NBYTES)
    for age, name in enumerate("abc"):
        folder = cache.fetch(store, manifests[name])
        cache.release(folder)
        os.utime(folder / "used", (age + 1, age + 1))
    cache.release(cache.fetch(store, manifests["a"]))  # used again: b is the oldest now
    cache.release(cache.fetch(store, manifests["d"]))
    assert cached(tmp_path / "cache") == {"a", "c", "d"}


def test_what_is_in_use_stays(store: Store, tmp_path: Path) -> None:
    manifests = {name: put(store, name) for name in "abc"}
    cache = Cache(tmp_path / "cache", 2 * NBYTES)
    a, b = cache.fetch(store, manifests["a"]), cache.fetch(store, manifests["b"])
    with pytest.raises(CacheTooSmall, match=r"c(-0000)?: needs 1,000 bytes beside 2,000 that are in use"):
        cache.fetch(store, manifests["c"])
    cache.release(b)
    verify(cache.fetch(store, manifests["c"]), manifests["c"].shards[0].files)
    verify(a, manifests["a"].shards[0].files)
    assert cached(tmp_path / "cache") == {"a", "c"}


def test_held_twice_is_in_use_until_released_twice(store: Store, tmp_path: Path) -> None:
    manifests = {name: put(store, name) for name in "ab"}
    cache = Cache(tmp_path / "cache", NBYTES)
    folder = cache.fetch(store, manifests["a"])
    assert cache.fetch(store, manifests["a"]) == folder
    cache.release(folder)
    with pytest.raises(CacheTooSmall):
        cache.fetch(store, manifests["b"])
    cache.release(folder)
    cache.fetch(store, manifests["b"])
    cache.release(folder)  # not held any more: nothing happens


def test_eight_threads_fetch_once(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = put(store, "one")
    asked: list[str] = []
    chunks = type(store).chunks

    def counted(self: Store, key: str) -> Iterator[bytes]:
        asked.append(key)
        return chunks(self, key)

    monkeypatch.setattr(type(store), "chunks", counted)
    cache = Cache(tmp_path / "cache", NBYTES)
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: cache.fetch(store, manifest), range(8)))
    assert len(folders) == 1
    assert len(asked) == 2


def test_processes_share_a_cache(store: Store, tmp_path: Path) -> None:
    manifests = {name: put(store, name) for name in "ab"}
    cache = Cache(tmp_path / "cache", NBYTES)
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "cache"), store.url, str(NBYTES), "a"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        folder = Path(holder.stdout.readline().strip())
        assert cache.fetch(store, manifests["a"]) == folder
        cache.release(folder)
        with pytest.raises(CacheTooSmall, match="in use"):
            cache.fetch(store, manifests["b"])
        verify(folder, manifests["a"].shards[0].files)
        holder.kill()
    verify(cache.fetch(store, manifests["b"]), manifests["b"].shards[0].files)
    assert cached(tmp_path / "cache") == {"b"}


def test_what_a_killed_download_left_goes(store: Store, tmp_path: Path) -> None:
    manifest = put(store, "one")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "cache"), store.url, str(NBYTES), "one"]
    assert subprocess.run(command).returncode == -9
    [left] = [path for path in (tmp_path / "cache").iterdir() if path.name != "lock"]
    assert set(content(left)) == {"index.dat"}
    verify(Cache(tmp_path / "cache", NBYTES).fetch(store, manifest), manifest.shards[0].files)
    assert list((tmp_path / "cache").rglob(".*")) == []


def test_s3(s3_server: S3, tmp_path: Path) -> None:
    store = open_store(f"{s3_server.url}/{uuid.uuid4().hex}", Storage(endpoint_url=s3_server.endpoint))
    manifest = put(store, "one")
    verify(Cache(tmp_path / "cache", NBYTES).fetch(store, manifest), manifest.shards[0].files)
