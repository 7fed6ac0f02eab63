"""The bucket: what every backend can do, with the same guarantees."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

from configs.settings import Storage
from pipeline.artifact.files import Data, Entry, File

CHUNK = 8 << 20
"""Bytes moved at a time: bounds memory, and is above S3's least part of 5 MiB."""


class Store(ABC):
    """Objects under relative keys.  Picklable, thread-safe, without secrets.

    Missing objects are ArtifactMissing; a bucket that cannot be reached is StoreUnavailable.
    Nothing becomes visible before it is whole.
    """

    url: str

    @abstractmethod
    def read(self, key: str) -> bytes:
        """The whole object."""

    @abstractmethod
    def read_range(self, key: str, start: int, nbytes: int) -> bytes:
        """Bytes [start, start + nbytes) of the object; fewer at its end."""

    @abstractmethod
    def size(self, key: str) -> int:
        """Bytes of the object."""

    @abstractmethod
    def write(self, key: str, data: Data) -> File:
        """Write or overwrite an object."""

    @abstractmethod
    def write_from(self, key: str, chunks: Iterable[Data]) -> File:
        """Write an object from a stream, never holding more than a part of it."""

    def put(self, key: str, chunks: Iterable[Data]) -> int:
        """Write an object whose checksum nobody will ask for, as those of a work folder; returns its bytes.

        The checksum costs some three times what a folder in the page cache does.
        """
        return self.write_from(key, chunks).nbytes

    @abstractmethod
    def create(self, key: str, data: Data) -> File:
        """Write an object that must not exist; of several writers exactly one wins, the others get ArtifactExists."""

    @abstractmethod
    def read_entry(self, key: str) -> tuple[bytes, str]:
        """The object with the etag that belongs to exactly these bytes."""

    @abstractmethod
    def replace(self, key: str, data: Data, etag: str | None) -> str:
        """Overwrite the version `etag` (None: no version); ArtifactChanged if it is another.  Returns the new etag."""

    @abstractmethod
    def entries(self, prefix: str = "") -> dict[str, Entry]:
        """One listing of everything below `prefix`, keys sorted."""

    @abstractmethod
    def delete(self, *keys: str) -> None:
        """Remove objects; missing ones are fine."""

    @abstractmethod
    def copy(self, source: str, target: str) -> None:
        """Copy an object inside the bucket, without moving its bytes through here where the store can do so."""

    def keys(self, prefix: str = "") -> list[str]:
        """All keys below `prefix`, sorted."""
        return list(self.entries(prefix))

    def delete_prefix(self, prefix: str) -> None:
        """Remove everything below `prefix`."""
        self.delete(*self.keys(prefix))

    def chunks(self, key: str) -> Iterator[bytes]:
        """The object in pieces of at most 8 MiB."""
        size = self.size(key)
        for start in range(0, size, CHUNK):
            yield self.read_range(key, start, min(CHUNK, size - start))

    def download(self, key: str, path: Path, *, expect: File | None = None) -> None:
        """Stream an object into a local file, which appears when it is whole and, with `expect`, verified."""
        part = path.with_name(f".{path.name}.part")
        digest, nbytes = hashlib.sha256(), 0
        try:
            with part.open("wb") as out:
                for chunk in self.chunks(key):
                    digest.update(chunk)
                    nbytes += len(chunk)
                    out.write(chunk)
            if expect is not None:
                expect.check(File(key, nbytes, digest.hexdigest()))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def place(self, key: str, path: Path, *, expect: File) -> None:
        """Let the object lie at a local path, for reading alone: downloaded and verified, unless it is in a folder here."""
        self.download(key, path, expect=expect)

    def check_conditions(self) -> None:
        """Raise ConditionsIgnored if the store grants conditional writes that it must refuse."""
        from pipeline.artifact.probe import probe

        probe(self)


def open_store(url: str, storage: Storage | None = None) -> Store:
    """The store at a folder, `file:///…`, `memory://name` or `s3://bucket/prefix`."""
    scheme, _, rest = url.partition("://")
    if scheme == "s3" and rest:
        from pipeline.artifact.s3_store import S3Store

        known = storage or Storage()
        return S3Store(url.rstrip("/"), known.endpoint_url, known.region)
    if scheme == "memory" and rest:
        from pipeline.artifact.memory_store import MemoryStore

        return MemoryStore(url.rstrip("/"))
    from pipeline.artifact.local_store import LocalStore

    return LocalStore(str(Path(rest if scheme == "file" and rest else url).absolute()))
