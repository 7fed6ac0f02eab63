"""A bucket in this process's memory, over fsspec's memory file system."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable

import fsspec

from pipeline.artifact.errors import ArtifactChanged, ArtifactExists, ArtifactMissing
from pipeline.artifact.files import Data, Entry, File
from pipeline.artifact.store import Store

_lock = threading.RLock()
"""One for all: fsspec's memory file system is one dictionary of the process."""


class MemoryStore(Store):
    """For tests, notebooks and small builds in one process."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._root = "/" + url.removeprefix("memory://").strip("/") + "/"
        self._fs = fsspec.filesystem("memory")

    def __reduce__(self) -> tuple[type[MemoryStore], tuple[str]]:
        return MemoryStore, (self.url,)

    def read(self, key: str) -> bytes:
        """See `Store.read`."""
        return self.read_range(key, 0, -1)

    def read_range(self, key: str, start: int, nbytes: int) -> bytes:
        """See `Store.read_range`; -1 bytes = to the end."""
        with _lock:
            try:
                data: bytes = self._fs.store[self._root + key].getbuffer()[start:].tobytes()
            except KeyError:
                raise ArtifactMissing(f"{key}: nothing lies there") from None
        return data if nbytes < 0 else data[:nbytes]

    def size(self, key: str) -> int:
        """See `Store.size`."""
        return len(self.read(key))

    def write(self, key: str, data: Data) -> File:
        """See `Store.write`."""
        with _lock:
            self._fs.pipe_file(self._root + key, bytes(data))
        return File.of(key, data)

    def write_from(self, key: str, chunks: Iterable[Data]) -> File:
        """See `Store.write_from`."""
        return self.write(key, b"".join(bytes(chunk) for chunk in chunks))

    def create(self, key: str, data: Data) -> File:
        """See `Store.create`."""
        with _lock:
            if self._root + key in self._fs.store:
                raise ArtifactExists(f"{key}: is there already in {self.url}")
            return self.write(key, data)

    def read_entry(self, key: str) -> tuple[bytes, str]:
        """See `Store.read_entry`."""
        data = self.read(key)
        return data, _etag(data)

    def replace(self, key: str, data: Data, etag: str | None) -> str:
        """See `Store.replace`."""
        with _lock:
            found = _etag(self.read(key)) if self._root + key in self._fs.store else None
            if found != etag:
                raise ArtifactChanged(f"{key}: expected version {etag or 'none'}, found {found or 'none'}")
            self.write(key, data)
        return _etag(bytes(data))

    def entries(self, prefix: str = "") -> dict[str, Entry]:
        """See `Store.entries`."""
        cut = len(self._root)
        with _lock:
            names = sorted(path for path in self._fs.store if path.startswith(self._root + prefix))
            return {path[cut:]: self._entry(path) for path in names}

    def _entry(self, path: str) -> Entry:
        key = path[len(self._root) :]
        return Entry(self.size(key), _etag(self.read(key)), self._fs.store[path].modified.timestamp())

    def delete(self, *keys: str) -> None:
        """See `Store.delete`."""
        with _lock:
            for key in keys:
                self._fs.store.pop(self._root + key, None)

    def copy(self, source: str, target: str) -> None:
        """See `Store.copy`."""
        self.write(target, self.read(source))


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
