"""A bucket that keeps the work folder of one build in memory: only what is published reaches the real one."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.artifact import ArtifactExists, ArtifactMissing, Data, Entry, File, Store


class Scratch(Store):
    """For one item that is a whole build; of one process, by one thread."""

    def __init__(self, bucket: Store, prefix: str) -> None:
        """Keys that begin with `prefix` stay here."""
        self.url, self._bucket, self._prefix = bucket.url, bucket, prefix
        self._kept: dict[str, bytes] = {}

    def hand_over(self, key: str) -> None:
        """Let the real bucket have an object as well."""
        self._bucket.write(key, self.read(key))

    def read(self, key: str) -> bytes:
        """See `Store.read`."""
        if not key.startswith(self._prefix):
            return self._bucket.read(key)
        try:
            return self._kept[key]
        except KeyError:
            raise ArtifactMissing(f"{key}: nothing lies there") from None

    def read_range(self, key: str, start: int, nbytes: int) -> bytes:
        """See `Store.read_range`."""
        if not key.startswith(self._prefix):
            return self._bucket.read_range(key, start, nbytes)
        return self.read(key)[start : start + nbytes]

    def size(self, key: str) -> int:
        """See `Store.size`."""
        return len(self.read(key)) if key.startswith(self._prefix) else self._bucket.size(key)

    def write(self, key: str, data: Data) -> File:
        """See `Store.write`."""
        if not key.startswith(self._prefix):
            return self._bucket.write(key, data)
        self._kept[key] = bytes(data)
        return File.of(key, data)

    def write_from(self, key: str, chunks: Iterable[Data]) -> File:
        """See `Store.write_from`.  The list is short, so that one request is better than an upload in parts."""
        return self.write(key, b"".join(chunks))

    def create(self, key: str, data: Data) -> File:
        """See `Store.create`."""
        if not key.startswith(self._prefix):
            return self._bucket.create(key, data)
        if key in self._kept:
            raise ArtifactExists(f"{key}: is there already")
        return self.write(key, data)

    def read_entry(self, key: str) -> tuple[bytes, str]:
        """See `Store.read_entry`; of the real bucket, since nobody replaces what lies here."""
        return self._bucket.read_entry(key)

    def replace(self, key: str, data: Data, etag: str | None) -> str:
        """See `Store.replace`; of the real bucket."""
        return self._bucket.replace(key, data, etag)

    def entries(self, prefix: str = "") -> dict[str, Entry]:
        """See `Store.entries`."""
        if not prefix.startswith(self._prefix):
            return self._bucket.entries(prefix)
        return {key: Entry(len(self._kept[key]), "") for key in sorted(self._kept) if key.startswith(prefix)}

    def delete(self, *keys: str) -> None:
        """See `Store.delete`."""
        self._bucket.delete(*(key for key in keys if not key.startswith(self._prefix)))
        for key in keys:
            self._kept.pop(key, None)

    def copy(self, source: str, target: str) -> None:
        """See `Store.copy`."""
        if source.startswith(self._prefix):
            self.write(target, self.read(source))
        else:
            self._bucket.copy(source, target)
