"""A local cache of shards: verified while downloading, bounded by a quota."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import file_digest, sha256
from pathlib import Path
from urllib.parse import quote

from pipeline.artifact.errors import ArtifactCorrupt, CacheTooSmall, CacheUnavailable
from pipeline.artifact.files import File
from pipeline.artifact.folders import USED, free, remove, touch, used_at, wait
from pipeline.artifact.manifest import Manifest, index_prefix
from pipeline.artifact.store import Store

OURS = re.compile(r"[0-9a-f]{32}|\.[0-9a-f]{32}\.(\d+)")
"""Names in the cache's folder: of checksums, and of unfinished downloads with their bytes.  Nothing else is ever removed."""


class Cache:
    """Folders by index, shard and checksums.  Threads and processes may share one; for local file systems.

    The lock on a folder is exclusive while it is downloaded, shared while it is in use.  Locks end with their process,
    so what a killed one was downloading is swept up, and what it held can be evicted.
    """

    def __init__(self, folder: Path, quota_bytes: int) -> None:
        self._root = folder
        self._quota = quota_bytes
        self._held: dict[Path, list[int]] = {}
        self._mutex = threading.Lock()

    def fetch(self, store: Store, manifest: Manifest, shard: int = 0, *, check: bool = False) -> Path:
        """The folder with the shard's files, each verified when it was downloaded; held until `release`.

        Files that are there already are compared by size; with `check` by checksum as well, and
        fetched again if they differ.  Raises CacheTooSmall, CacheUnavailable for a folder or disk
        that refuses, ArtifactCorrupt when what the bucket holds differs, ArtifactMissing,
        StoreUnavailable.
        """
        files = _by_name(manifest, shard)
        name = quote(manifest.index_id, safe="")[:80].lstrip(".")
        folder = self._root / _digest(files) / f"{name}-{shard:04d}"
        with _translated(self._root):
            self._take(store, manifest, files, folder)
            if check and not _intact(folder, files):
                self._discard(folder)
                self._take(store, manifest, files, folder)
        return folder

    def release(self, folder: Path) -> None:
        """One fetch of the folder is over; after the last it may be evicted."""
        with self._mutex:
            locks = self._held.get(folder, [])
            if not locks:
                return
            lock = locks.pop(0)
            if not locks:
                del self._held[folder]
        touch(folder)
        os.close(lock)

    def _take(self, store: Store, manifest: Manifest, files: dict[str, File], folder: Path) -> None:
        """Hold the folder, downloading it unless it is there; somebody else's download of it is waited for."""
        nbytes = sum(file.nbytes for file in files.values())
        part = self._root / f".{folder.parent.name}.{nbytes}"
        while True:
            with self._exclusive():
                if _whole(folder, files):
                    self._hold(folder, os.open(folder, os.O_RDONLY))
                    return
                lock = self._begin(part, folder, nbytes)
            if lock is None:
                wait(part)
                continue
            try:
                for name, file in files.items():
                    home = index_prefix(manifest.label, manifest.index_id)
                    store.download(home + file.key, part / name, expect=file)
                (part / USED).touch()
                with self._exclusive():
                    folder.parent.mkdir(exist_ok=True)
                    part.rename(folder)  # with its lock, which only becomes a shared one
                    self._hold(folder, lock)
            except BaseException:
                try:
                    with self._exclusive():  # or somebody could lock the folder while it goes
                        shutil.rmtree(part, ignore_errors=True)  # what is left is swept up by the next download
                finally:
                    os.close(lock)
                raise
            return

    def _begin(self, part: Path, folder: Path, nbytes: int) -> int | None:
        """Reserve room for a download; its lock, or None while somebody else downloads the same."""
        remove(folder)  # damaged
        part.mkdir(exist_ok=True)
        lock = os.open(part, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        try:
            for path in part.iterdir():  # of a download that was killed
                path.unlink()
            self._make_room(part, nbytes, folder.name.rpartition("-")[0])
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            os.close(lock)
            raise
        return lock

    def _make_room(self, part: Path, nbytes: int, what: str) -> None:
        """Evict, least recently used first, what nobody holds; what killed downloads left goes in any case."""
        if nbytes > self._quota:
            raise CacheTooSmall(f"{what}: needs {nbytes:,} bytes, cache.quota_bytes allows {self._quota:,}: raise it")
        total, idle = 0, []
        for home in self._root.iterdir():
            unfinished = OURS.fullmatch(home.name)
            if home == part or unfinished is None:
                continue
            if reserved := unfinished[1]:
                if free(home):
                    shutil.rmtree(home)
                else:
                    total += int(reserved)
                continue
            for folder in home.iterdir():
                size = sum(path.stat().st_size for path in folder.iterdir())
                total += size
                if free(folder):
                    idle.append((used_at(folder), size, folder))
        for _, size, folder in sorted(idle):
            if total + nbytes <= self._quota:
                return
            remove(folder)
            total -= size
        if total + nbytes > self._quota:
            raise CacheTooSmall(
                f"{what}: needs {nbytes:,} bytes beside {total:,} that are in use, "
                f"cache.quota_bytes allows {self._quota:,}: raise it"
            )

    def _hold(self, folder: Path, lock: int) -> None:
        fcntl.flock(lock, fcntl.LOCK_SH)
        touch(folder)
        with self._mutex:
            self._held.setdefault(folder, []).append(lock)

    def _discard(self, folder: Path) -> None:
        """Remove the damaged folder that was taken last, unless somebody has put a new one in its place."""
        with self._exclusive(), suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(self._held[folder][-1]), folder.stat()):
                remove(folder)
        self.release(folder)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Looking, making room and renaming are one step for all processes; downloads are outside of it."""
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
        with path.open("rb") as data:
            file.check(File(file.key, path.stat().st_size, file_digest(data, "sha256").hexdigest()))


def _by_name(manifest: Manifest, shard: int) -> dict[str, File]:
    """The shard's files by their names in the cached folder."""
    files = manifest.shards[shard].files
    named = {Path(file.key).name: file for file in files}
    if len(named) < len(files) or named.keys() & {USED, "", ".."}:
        raise ArtifactCorrupt(
            f"{manifest.label} {manifest.index_id}: expected files of different names in shard {shard}, "
            f"none of them {USED!r}, got {', '.join(file.key for file in files)}"
        )
    return named


def _digest(files: dict[str, File]) -> str:
    """Of what lies in the folder, not of what the manifest says of itself, so that nothing else is ever taken for it."""
    listed = "\n".join(f"{name} {file.nbytes} {file.sha256}" for name, file in sorted(files.items()))
    return sha256(listed.encode()).hexdigest()[:32]


def _whole(folder: Path, files: dict[str, File]) -> bool:
    paths = {folder / name: file.nbytes for name, file in files.items()}
    return (folder / USED).exists() and all(
        path.exists() and path.stat().st_size == nbytes for path, nbytes in paths.items()
    )


def _intact(folder: Path, files: dict[str, File]) -> bool:
    try:
        verify(folder, tuple(files.values()))
    except ArtifactCorrupt:
        return False
    return True


@contextmanager
def _translated(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CacheUnavailable(
            f"cache {root}: {error.strerror or error} ({error.filename}); "
            "check owner, mode and free space of the folder, or set cache.folder to another"
        ) from error
