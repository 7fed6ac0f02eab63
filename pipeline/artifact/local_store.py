"""A bucket in a folder of a local file system."""

from __future__ import annotations

import errno
import fcntl
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from pipeline.artifact.errors import (
    ArtifactChanged,
    ArtifactCorrupt,
    ArtifactExists,
    ArtifactMissing,
    StoreFull,
    StoreUnavailable,
)
from pipeline.artifact.files import Data, Entry, File, Summed
from pipeline.artifact.store import Store

HIDDEN = "."
"""Names of unfinished files and of the lock begin with it; they are never listed."""

TRIES = 100
"""Attempts to write into a folder that deletes in between remove."""

CHECK = "check the folder's owner, mode and free space"


class LocalStore(Store):
    """Exclusive create by linking a whole temporary file; replace under a lock.  Not for network file systems.

    fsspec's own local `mode="create"` looks first and writes then: of four racing writers two can win.
    """

    def __init__(self, folder: str) -> None:
        self.url = Path(folder).as_uri()
        self._root = Path(folder)

    def read(self, key: str) -> bytes:
        """See `Store.read`."""
        with _translated(key, self._root):
            return self._path(key).read_bytes()

    def read_range(self, key: str, start: int, nbytes: int) -> bytes:
        """See `Store.read_range`."""
        with _translated(key, self._root), self._path(key).open("rb") as file:
            return os.pread(file.fileno(), nbytes, start)

    def size(self, key: str) -> int:
        """See `Store.size`."""
        with _translated(key, self._root), self._path(key).open("rb") as file:
            return os.fstat(file.fileno()).st_size

    def write(self, key: str, data: Data) -> File:
        """See `Store.write`."""
        return self.write_from(key, (data,))

    def write_from(self, key: str, chunks: Iterable[Data]) -> File:
        """See `Store.write_from`."""
        summed = Summed(chunks)
        self.put(key, summed)
        return summed.file(key)

    def put(self, key: str, chunks: Iterable[Data]) -> int:
        """See `Store.put`."""
        with self._temporary(key, chunks) as (part, nbytes):
            part.replace(self._path(key))
            return nbytes

    def create(self, key: str, data: Data) -> File:
        """See `Store.create`."""
        with self._temporary(key, (data,)) as (part, _):
            try:
                os.link(part, self._path(key))
            except FileExistsError:
                raise ArtifactExists(f"{key}: is there already in {self.url}") from None
        return File.of(key, data)

    def read_entry(self, key: str) -> tuple[bytes, str]:
        """See `Store.read_entry`.  One open file gives bytes and state, whatever is renamed meanwhile."""
        with _translated(key, self._root), self._path(key).open("rb") as file:
            return file.read(), _etag(os.fstat(file.fileno()))

    def replace(self, key: str, data: Data, etag: str | None) -> str:
        """See `Store.replace`."""
        with self._temporary(key, (data,)) as (part, _), self._locked():
            path = self._path(key)
            found = _etag(path.stat()) if path.exists() else None
            if found != etag:
                raise ArtifactChanged(f"{key}: expected version {etag or 'none'}, found {found or 'none'}")
            new = _etag(part.stat())
            if etag is not None:
                part.replace(path)
                return new
            try:
                os.link(part, path)  # `create` takes no lock, and may have won since
            except FileExistsError:
                raise ArtifactChanged(f"{key}: expected no version, found one") from None
            return new

    def entries(self, prefix: str = "") -> dict[str, Entry]:
        """See `Store.entries`.  Walks from the deepest folder that `prefix` names."""
        start = self._root / prefix.rpartition("/")[0]
        found = {}
        for folder, folders, names in os.walk(start, onerror=_not_read):
            folders[:] = [name for name in folders if not name.startswith(HIDDEN)]
            for name in names:
                path = Path(folder, name)
                key = path.relative_to(self._root).as_posix()
                if name.startswith(HIDDEN) or not key.startswith(prefix):
                    continue
                with suppress(FileNotFoundError):  # removed since the folder was read
                    state = path.stat()
                    found[key] = Entry(state.st_size, _etag(state), state.st_mtime)
        return dict(sorted(found.items()))

    def delete(self, *keys: str) -> None:
        """See `Store.delete`.  Folders that become empty go as well."""
        for key in keys:
            path = self._path(key)
            with _translated(key, self._root):
                path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self._root:
                    break
                try:
                    folder.rmdir()
                except OSError:
                    break  # not empty, or gone

    def copy(self, source: str, target: str) -> None:
        """See `Store.copy`.  A second name for the same immutable bytes."""
        part = self._path(target).with_name(f"{HIDDEN}{uuid.uuid4().hex}")
        with _translated(source, self._root):
            part.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(self._path(source), part)
                part.replace(self._path(target))
            finally:
                part.unlink(missing_ok=True)  # rename of two names of one file does nothing

    def place(self, key: str, path: Path, *, expect: File) -> None:
        """See `Store.place`.  A link; only the size is compared, as of a file in a cache."""
        if (found := self.size(key)) != expect.nbytes:
            raise ArtifactCorrupt(f"{key}: expected {expect.nbytes} bytes, got {found}")
        path.symlink_to(self._path(key))

    def _path(self, key: str) -> Path:
        return self._root / key

    @contextmanager
    def _temporary(self, key: str, chunks: Iterable[Data]) -> Iterator[tuple[Path, int]]:
        part = self._path(key).with_name(f"{HIDDEN}{uuid.uuid4().hex}")
        nbytes = 0
        out = self._opened(key, part)
        try:
            with out:
                for chunk in chunks:  # an error of the stream is its own, not one of this bucket
                    with _translated(key, self._root):
                        nbytes += _written(out, chunk)
            with _translated(key, self._root):
                yield part, nbytes
        finally:
            part.unlink(missing_ok=True)

    def _opened(self, key: str, part: Path) -> FileIO:
        with _translated(key, self._root):
            for _ in range(TRIES):
                try:
                    part.parent.mkdir(parents=True, exist_ok=True)
                    return part.open("xb", buffering=0)
                except (FileNotFoundError, FileExistsError) as error:
                    last = error  # a delete may have taken away the folder, which was empty
        raise StoreUnavailable(f"{key}: {last.strerror} ({last.filename}); {CHECK}") from last

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._root / f"{HIDDEN}lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _written(out: FileIO, chunk: Data) -> int:
    view = memoryview(chunk).cast("B")
    nbytes = len(view)
    while view:
        view = view[out.write(view) :]
    return nbytes


def _etag(state: os.stat_result) -> str:
    return f"{state.st_size:x}-{state.st_mtime_ns:x}-{state.st_ino:x}"


def _not_read(error: OSError) -> None:
    """A folder that is gone is empty; one that cannot be read is not."""
    if not isinstance(error, FileNotFoundError):
        with _translated("listing", Path(error.filename or ".")):
            raise error


@contextmanager
def _translated(key: str, place: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError):
        raise ArtifactMissing(f"{key}: nothing lies there") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(
                f"{key}: {error.strerror} on the disk or in the quota of {place}: free some, then run the same command "
                "again, which continues where it stopped"
            ) from error
        raise StoreUnavailable(f"{key}: {error.strerror or error} ({error.filename}); {CHECK}") from error
