"""A bucket that knows how long it was read from, written to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from pipeline.artifact import File, Store
from pipeline.artifact.files import Data, Entry
from pipeline.stage import Done, Item, Runner, Stage
from pipeline.workspace import Work


@dataclass(slots=True)
class Spent:
    """Bytes moved with the seconds of the calls that moved them, all threads together."""

    read: int = 0
    read_s: float = 0.0
    written: int = 0
    write_s: float = 0.0
    other_s: float = 0.0
    """Listings, copies inside the store, removals."""

    @property
    def seconds(self) -> float:
        """Of all calls."""
        return self.read_s + self.write_s + self.other_s

    def add(self, other: Spent) -> None:
        """Take another process's figures in."""
        self.read, self.written = self.read + other.read, self.written + other.written
        self.read_s, self.write_s = self.read_s + other.read_s, self.write_s + other.write_s
        self.other_s += other.other_s


T = TypeVar("T")

_spent = Spent()
_lock = threading.Lock()


def taken() -> Spent:
    """What this process spent since the last look."""
    global _spent
    with _lock:
        found, _spent = _spent, Spent()
        return found


def timing(runner: Runner) -> Runner:
    """The runner, with every task's bucket timed in the process that runs it."""

    def run(stage: Stage, work: Work, items: list[Item], report: Callable[[Done], None]) -> None:
        runner(stage, replace(work, bucket=Timed(work.bucket)), items, report)

    return run


class Timed(Store):
    """Another store's, call by call; what computes the chunks of a stream is not counted as writing."""

    def __init__(self, store: Store) -> None:
        self.url, self._store = store.url, store

    def read(self, key: str) -> bytes:
        """See `Store.read`."""
        return self._reading(lambda: self._store.read(key))

    def read_range(self, key: str, start: int, nbytes: int) -> bytes:
        """See `Store.read_range`."""
        return self._reading(lambda: self._store.read_range(key, start, nbytes))

    def read_entry(self, key: str) -> tuple[bytes, str]:
        """See `Store.read_entry`."""
        began = time.perf_counter()
        found = self._store.read_entry(key)
        _count(Spent(read=len(found[0]), read_s=time.perf_counter() - began))
        return found

    def size(self, key: str) -> int:
        """See `Store.size`."""
        return self._other(lambda: self._store.size(key))

    def write(self, key: str, data: Data) -> File:
        """See `Store.write`."""
        began = time.perf_counter()
        file = self._store.write(key, data)
        _count(Spent(written=file.nbytes, write_s=time.perf_counter() - began))
        return file

    def write_from(self, key: str, chunks: Iterable[Data]) -> File:
        """See `Store.write_from`."""
        return self._streaming(chunks, lambda made: self._store.write_from(key, made), lambda file: file.nbytes)

    def put(self, key: str, chunks: Iterable[Data]) -> int:
        """See `Store.put`."""
        return self._streaming(chunks, lambda made: self._store.put(key, made), lambda nbytes: nbytes)

    def create(self, key: str, data: Data) -> File:
        """See `Store.create`."""
        return self._other(lambda: self._store.create(key, data))

    def replace(self, key: str, data: Data, etag: str | None) -> str:
        """See `Store.replace`."""
        return self._other(lambda: self._store.replace(key, data, etag))

    def entries(self, prefix: str = "") -> dict[str, Entry]:
        """See `Store.entries`."""
        return self._other(lambda: self._store.entries(prefix))

    def delete(self, *keys: str) -> None:
        """See `Store.delete`."""
        self._other(lambda: self._store.delete(*keys))

    def copy(self, source: str, target: str) -> None:
        """See `Store.copy`."""
        self._other(lambda: self._store.copy(source, target))

    def _reading(self, call: Callable[[], bytes]) -> bytes:
        began = time.perf_counter()
        data = call()
        _count(Spent(read=len(data), read_s=time.perf_counter() - began))
        return data

    def _streaming(self, chunks: Iterable[Data], call: Callable[[Iterable[Data]], T], size: Callable[[T], int]) -> T:
        elsewhere = 0.0

        def made() -> Iterator[Data]:
            nonlocal elsewhere
            source = iter(chunks)
            while True:
                began = time.perf_counter()
                chunk = next(source, None)
                elsewhere += time.perf_counter() - began
                if chunk is None:
                    return
                yield chunk

        began = time.perf_counter()
        found = call(chunks if isinstance(chunks, tuple) else made())  # what is given whole is not made meanwhile
        _count(Spent(written=size(found), write_s=time.perf_counter() - began - elsewhere))
        return found

    def _other(self, call: Callable[[], T]) -> T:
        began = time.perf_counter()
        found = call()
        _count(Spent(other_s=time.perf_counter() - began))
        return found


def _count(more: Spent) -> None:
    with _lock:
        _spent.add(more)
