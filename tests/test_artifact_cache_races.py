"""The cache under many hands: slow downloads, racing threads and processes, damage, folders that refuse."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from manifests import manifest_of

from pipeline.artifact import (
    ArtifactCorrupt,
    Cache,
    CacheTooSmall,
    CacheUnavailable,
    File,
    Manifest,
    Memory,
    Shard,
    Store,
    index_prefix,
    open_store,
    verify,
)

NBYTES = 1000

HAMMER = """
import random, sys
from pathlib import Path
from pipeline.artifact import Cache, CacheTooSmall, open_store, read_manifest, verify
folder, url, quota, seed = sys.argv[1:]
cache, store, chance, done = Cache(Path(folder), int(quota)), open_store(url), random.Random(int(seed)), 0
manifests = [read_manifest(store, "people", f"i{number}") for number in range(6)]
while done < 60:
    manifest = chance.choice(manifests)
    try:
        taken = cache.fetch(store, manifest)
    except CacheTooSmall:
        continue
    verify(taken, manifest.shards[0].files)
    cache.release(taken)
    done += 1
print(done)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "bucket"))


def put(
    store: Store, index_id: str, names: tuple[str, ...] = ("index.dat", "ids.dat"), label: str = "people"
) -> Manifest:
    """An index with one shard of 1000 bytes."""
    home, files = index_prefix(label, index_id), []
    for name in names:
        file = store.write(f"{home}{name}", os.urandom(NBYTES // len(names)))
        files.append(File(name, file.nbytes, file.sha256))
    shard = Shard(rows=1, files=tuple(files), memory=Memory(anonymous=1, mapped=1))
    manifest = replace(manifest_of(label, index_id), shards=(shard,))
    store.write(home + "meta.json", manifest.to_json())
    return manifest


class Gate:
    """Holds every download of one index back until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Store, index_id: str) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        self.asked: list[str] = []
        chunks = type(store).chunks

        def gated(one: Store, key: str) -> Iterator[bytes]:
            self.asked.append(key)
            if f"/{index_id}/" in key:
                self.reached.set()
                assert self.open.wait(20)
            return chunks(one, key)

        monkeypatch.setattr(type(store), "chunks", gated)


def test_a_slow_download_blocks_nobody_else(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, there, new = (put(store, name) for name in ("slow", "there", "new"))
    cache = Cache(tmp_path / "cache", 3 * NBYTES)
    cache.release(cache.fetch(store, there))
    gate = Gate(monkeypatch, store, "slow")
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(cache.fetch, store, slow)
        assert gate.reached.wait(10)
        again = pool.submit(cache.fetch, store, slow)
        verify(cache.fetch(store, there), there.shards[0].files)
        verify(cache.fetch(store, new), new.shards[0].files)
        assert not first.done()
        assert not again.done()
        gate.open.set()
        assert first.result() == again.result()
    verify(first.result(), slow.shards[0].files)
    assert sorted(gate.asked) == sorted(
        index_prefix("people", name) + key for name in ("slow", "new") for key in ("index.dat", "ids.dat")
    )


def test_a_running_download_has_its_room(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, other = put(store, "slow"), put(store, "other")
    gate = Gate(monkeypatch, store, "slow")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(Cache(tmp_path / "cache", NBYTES).fetch, store, slow)
        assert gate.reached.wait(10)
        with pytest.raises(CacheTooSmall, match="other: needs 1,000 bytes beside 1,000 that are in use"):
            Cache(tmp_path / "cache", NBYTES).fetch(store, other)
        gate.open.set()
        verify(first.result(), slow.shards[0].files)


def test_who_waited_for_a_failed_download_tries_itself(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = put(store, "one")
    key = index_prefix("people", "one") + "index.dat"
    good = store.read(key)
    store.write(key, bytes(len(good)))
    gate = Gate(monkeypatch, store, "one")
    cache = Cache(tmp_path / "cache", NBYTES)
    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(cache.fetch, store, manifest) for _ in range(2)]
        assert gate.reached.wait(10)
        gate.open.set()
        for result in results:
            with pytest.raises(ArtifactCorrupt, match=r"index\.dat"):
                result.result()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["lock"]
    store.write(key, good)
    verify(cache.fetch(store, manifest), manifest.shards[0].files)


def test_threads_in_a_cache_that_is_too_small_for_all(store: Store, tmp_path: Path) -> None:
    """Everybody always reads whole files although something is evicted all the time."""
    manifests = [put(store, f"i{number}") for number in range(6)]
    caches = [Cache(tmp_path / "cache", 5 * NBYTES) for _ in range(2)]

    def work(seed: int) -> int:
        chance = random.Random(seed)
        for _ in range(60):
            manifest, cache = chance.choice(manifests), chance.choice(caches)
            folder = cache.fetch(store, manifest)
            verify(folder, manifest.shards[0].files)
            cache.release(folder)
        return seed

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [0, 1, 2, 3]
    sizes = [path.stat().st_size for path in (tmp_path / "cache").rglob("*.dat")]
    assert sum(sizes) <= 5 * NBYTES


def test_processes_in_a_cache_that_is_too_small_for_all(store: Store, tmp_path: Path) -> None:
    for number in range(6):
        put(store, f"i{number}")
    command = [sys.executable, "-c", HAMMER, str(tmp_path / "cache"), store.url, str(2 * NBYTES)]
    running = [subprocess.Popen([*command, str(seed)], stdout=subprocess.PIPE, text=True) for seed in range(3)]
    assert [process.communicate(timeout=50)[0].strip() for process in running] == ["60"] * 3
    sizes = [path.stat().st_size for path in (tmp_path / "cache").rglob("*.dat")]
    assert sum(sizes) <= 2 * NBYTES


def test_a_killed_download_of_another_index_is_swept_up(store: Store, tmp_path: Path) -> None:
    manifest = put(store, "one")
    dead = tmp_path / "cache" / f".{'a' * 32}.900"
    dead.mkdir(parents=True)
    (dead / "index.dat").write_bytes(bytes(900))
    foreign = [tmp_path / "cache" / name for name in ("holiday", ".git", "notes.txt")]
    for path in foreign:
        path.mkdir()
    verify(Cache(tmp_path / "cache", NBYTES).fetch(store, manifest), manifest.shards[0].files)
    assert not dead.exists()
    assert all(path.exists() for path in foreign), "what is not the cache's own is left alone"


def test_check_finds_and_heals_bit_rot(store: Store, tmp_path: Path) -> None:
    manifest = put(store, "one")
    cache = Cache(tmp_path / "cache", NBYTES)
    folder = cache.fetch(store, manifest)
    (folder / "index.dat").write_bytes(bytes(NBYTES // 2))  # of the same size
    assert cache.fetch(store, manifest) == folder
    with pytest.raises(ArtifactCorrupt):
        verify(folder, manifest.shards[0].files)
    cache.release(folder)
    cache.release(folder)
    verify(cache.fetch(store, manifest, check=True), manifest.shards[0].files)
    inode = folder.stat().st_ino
    cache.fetch(store, manifest, check=True)
    assert folder.stat().st_ino == inode, "what is intact is not fetched again"


def test_other_files_under_the_same_index_id_are_not_taken_for_it(store: Store, tmp_path: Path) -> None:
    """The digest of a manifest may say anything: what is cached goes by the checksums of the files."""
    first = put(store, "one")
    cache = Cache(tmp_path / "cache", 9 * NBYTES)
    folders = {cache.fetch(store, first)}
    for label in ("people", "others"):
        second = put(store, "one", label=label)
        assert second.content_digest == first.content_digest
        folders.add(folder := cache.fetch(store, second))
        verify(folder, second.shards[0].files)
    assert len(folders) == 3


@pytest.mark.parametrize("index_id", ["../../up", "/etc/cron.d/x", ".hidden", "..", "x" * 200, "a b/ü"])
def test_any_index_id_stays_inside(store: Store, tmp_path: Path, index_id: str) -> None:
    manifest = put(store, index_id)
    folder = Cache(tmp_path / "cache", NBYTES).fetch(store, manifest)
    assert folder.resolve().parent.parent == (tmp_path / "cache").resolve()
    verify(folder, manifest.shards[0].files)


@pytest.mark.parametrize("names", [("a/x.dat", "b/x.dat"), ("used",), ("a/..", "b")])
def test_names_that_cannot_lie_in_a_folder(store: Store, tmp_path: Path, names: tuple[str, ...]) -> None:
    good = put(store, "one").shards[0]
    files = tuple(File(name, 1, "0" * 64) for name in names)
    manifest = replace(manifest_of(), shards=(replace(good, files=files),))
    with pytest.raises(ArtifactCorrupt, match="expected files of different names in shard 0"):
        Cache(tmp_path / "cache", NBYTES).fetch(store, manifest)


def test_a_cache_folder_that_refuses(store: Store, tmp_path: Path) -> None:
    manifest = put(store, "one")
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", Path("/sys/lim")):
        with pytest.raises(CacheUnavailable, match=rf"cache {folder}: .*set cache\.folder to another"):
            Cache(folder, NBYTES).fetch(store, manifest)


def test_a_full_disk(store: Store, tmp_path: Path) -> None:
    manifest = put(store, "one")
    cache = Cache(tmp_path / "cache", NBYTES)
    (tmp_path / "cache").mkdir()
    key = index_prefix("people", "one") + "ids.dat"

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "ids.dat")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "download", full)
        with pytest.raises(CacheUnavailable, match=r"No space left on device .*free space"):
            cache.fetch(store, manifest)
    assert store.size(key) == NBYTES // 2
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["lock"]


def test_many_held_then_released(store: Store, tmp_path: Path) -> None:
    """Locks are given back: neither files stay open nor folders in use."""
    manifests = [put(store, f"i{number}") for number in range(20)]
    cache = Cache(tmp_path / "cache", 20 * NBYTES)
    before = len(os.listdir("/proc/self/fd"))
    folders = [cache.fetch(store, manifest) for manifest in manifests for _ in range(3)]
    assert len(os.listdir("/proc/self/fd")) == before + 60
    for folder in folders:
        cache.release(folder)
    assert len(os.listdir("/proc/self/fd")) == before
    last = put(store, "last")
    verify(Cache(tmp_path / "cache", NBYTES).fetch(store, last), last.shards[0].files)
    assert len(list((tmp_path / "cache").iterdir())) == 2, "the lock, and the only one that has room"
