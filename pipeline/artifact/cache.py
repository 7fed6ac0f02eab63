"""A local cache of shards: verified while downloading, bounded by a quota."""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.artifact.errors import ArtifactCorrupt, CacheTooSmall
from pipeline.artifact.files import File
from pipeline.artifact.manifest import Manifest, index_prefix
from pipeline.artifact.store import Store

USED = "used"
"""A file in every cached folder: its time says when it was fetched last, a shared lock on it that it is in use."""


class Cache:
    """Folders by index, shard and digest.  Several processes may share one cache."""

    def __init__(self, folder: Path, quota_bytes: int) -> None:
        self._root = folder
        self._quota = quota_bytes
        self._locks: dict[Path, int] = {}

    def fetch(self, store: Store, manifest: Manifest, shard: int = 0) -> Path:
        """The folder with the shard's files, each verified when it was downloaded; held until `release`.

        Raises CacheTooSmall, ArtifactCorrupt when a checksum differs, ArtifactMissing, StoreUnavailable.
        """
        files = manifest.shards[shard].files
        folder = self._root / manifest.content_digest[:16] / f"{manifest.index_id}-{shard:04d}"
        with self._exclusive():
            if not _whole(folder, files):
                shutil.rmtree(folder, ignore_errors=True)
                self._make_room(sum(file.nbytes for file in files), manifest.index_id)
                self._download(store, manifest, files, folder)
            self._hold(folder)
        return folder

    def release(self, folder: Path) -> None:
        """The folder is no longer in use and may be evicted."""
        if (lock := self._locks.pop(folder, None)) is not None:
            os.close(lock)

    def _download(self, store: Store, manifest: Manifest, files: tuple[File, ...], folder: Path) -> None:
        home = index_prefix(manifest.label, manifest.index_id)
        part = self._root / f".{uuid.uuid4().hex}"
        part.mkdir(parents=True)
        try:
            for file in files:
                store.download(home + file.key, part / Path(file.key).name, expect=file)
            (part / USED).touch()
            folder.parent.mkdir(parents=True, exist_ok=True)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _hold(self, folder: Path) -> None:
        if folder not in self._locks:
            lock = os.open(folder / USED, os.O_RDWR)
            fcntl.flock(lock, fcntl.LOCK_SH)
            self._locks[folder] = lock
        os.utime(folder / USED)

    def _make_room(self, nbytes: int, what: str) -> None:
        """Evict, least recently used first, what nobody holds; what a killed download left goes as well."""
        if nbytes > self._quota:
            raise CacheTooSmall(f"{what}: needs {nbytes:,} bytes, cache.quota_bytes allows {self._quota:,}: raise it")
        for left in self._root.glob(".*"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
        folders = sorted(self._root.glob(f"*/*/{USED}"), key=lambda used: used.stat().st_mtime)
        total = sum(_size(used.parent) for used in folders)
        for used in folders:
            if total + nbytes <= self._quota:
                return
            if self._free(used):
                total -= _size(used.parent)
                shutil.rmtree(used.parent)
        if total + nbytes > self._quota:
            raise CacheTooSmall(
                f"{what}: needs {nbytes:,} bytes beside {total:,} that are in use, cache.quota_bytes allows {self._quota:,}: raise it"
            )

    def _free(self, used: Path) -> bool:
        if used.parent in self._locks:
            return False
        with used.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One fetch at a time in a cache, over all processes: two would download the same."""
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def verify(folder: Path, files: tuple[File, ...]) -> None:
    """Compare every file with its checksum again; raises ArtifactCorrupt at the first that differs."""
    for file in files:
        path = folder / Path(file.key).name
        if not path.exists():
            raise ArtifactCorrupt(f"{file.key}: expected {file.nbytes} bytes in {folder}, got no such file")
        file.check(File.of(file.key, path.read_bytes()))


def _whole(folder: Path, files: tuple[File, ...]) -> bool:
    paths = [(folder / Path(file.key).name, file.nbytes) for file in files]
    return all(path.exists() and path.stat().st_size == nbytes for path, nbytes in paths)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
