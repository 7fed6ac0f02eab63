"""What is known of an object: its size with its checksum, or with its etag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from pipeline.artifact.errors import ArtifactCorrupt

Data = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class File:
    """A file that a manifest lists."""

    key: str
    nbytes: int
    sha256: str

    @classmethod
    def of(cls, key: str, data: Data) -> File:
        """The file that holds `data`."""
        return cls(key, memoryview(data).nbytes, sha256(data).hexdigest())

    def check(self, found: File) -> None:
        """Raise ArtifactCorrupt unless size and checksum are these."""
        if (found.nbytes, found.sha256) != (self.nbytes, self.sha256):
            raise ArtifactCorrupt(
                f"{self.key}: expected {self.nbytes} bytes with sha256 {self.sha256[:12]}…, "
                f"got {found.nbytes} bytes with {found.sha256[:12]}…"
            )


class Summed:
    """A stream that is handed on unchanged, and whose size and checksum are known at its end."""

    def __init__(self, chunks: Iterable[Data]) -> None:
        self._chunks, self._digest, self._nbytes = chunks, sha256(), 0

    def __iter__(self) -> Iterator[Data]:
        for chunk in self._chunks:
            self._digest.update(chunk)
            self._nbytes += memoryview(chunk).nbytes
            yield chunk

    def file(self, key: str) -> File:
        """The file that holds what was handed on."""
        return File(key, self._nbytes, self._digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Entry:
    """An object in a listing; the etag changes when the object does."""

    nbytes: int
    etag: str
    modified: float = 0.0
    """Seconds since 1970 at which it was written, by the clock of the store."""
