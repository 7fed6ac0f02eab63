"""The heads of all labels in memory, in step with the bucket by one listing a look."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

from pipeline.artifact import ArtifactError, ArtifactMissing, Head, Store, StoreUnavailable, list_heads, read_head

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """A head as it was read; without one, why it cannot be."""

    etag: str
    head: Head | None
    problem: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        """Every version that it names, what serves first."""
        return (self.head.index_id, *self.head.previous) if self.head else ()


class Heads:
    """Blocking: `look` and `read` belong into a thread.  Everything else only looks at what is in memory."""

    def __init__(self, store: Store, pool: ThreadPoolExecutor) -> None:
        """`pool` reads several heads at a time."""
        self._store = store
        self._pool = pool
        self._listed: dict[str, str] = {}
        self._known: dict[str, Known] = {}
        self._labels: list[str] = []
        self._of: dict[str, set[str]] = {}
        self._turn = Lock()

    def look(self) -> list[str]:
        """One listing; the labels whose head is new or another than the one read last.  Raises ArtifactError."""
        listed = list_heads(self._store)
        with self._turn:
            if listed.keys() != self._listed.keys():
                self._labels = sorted(listed)
            for label in self._known.keys() - listed.keys():
                self._forget(label)
            self._listed = listed
        return [label for label, etag in listed.items() if self._stale(label, etag)]

    def read(self, labels: Iterable[str], *, again: bool = False) -> None:
        """Read the heads of these labels, unless they are known as they were listed last.  Raises StoreUnavailable.

        `again`: whatever was listed, because somebody has just written them.
        """
        wanted = [label for label in labels if again or self._stale(label, self._listed.get(label, ""))]
        for label, known in zip(wanted, self._pool.map(self._read, wanted), strict=True):
            with self._turn:
                self._forget(label)
                if known is not None:
                    self._known[label] = known
                    for index_id in known.ids:
                        self._of.setdefault(index_id, set()).add(label)

    def known(self, label: str) -> Known | None:
        """The head of a label as it was read last."""
        return self._known.get(label)

    def labels(self, prefix: str = "") -> list[str]:
        """All labels that begin with `prefix`, sorted."""
        first = bisect_left(self._labels, prefix)
        if not prefix:
            return self._labels
        last = bisect_left(self._labels, prefix + chr(0x10FFFF))
        return self._labels[first:last]

    def of(self, index_id: str) -> list[str]:
        """Labels whose head names an index, or did before."""
        return sorted(self._of.get(index_id, ()))

    def __contains__(self, label: str) -> bool:
        return label in self._listed

    def _stale(self, label: str, etag: str) -> bool:
        known = self._known.get(label)
        return known is None or (etag != "" and known.etag != etag)

    def _read(self, label: str) -> Known | None:
        try:
            head, etag = read_head(self._store, label)
        except ArtifactMissing:
            return None
        except StoreUnavailable:
            raise
        except ArtifactError as error:
            logger.warning("%s: its head cannot be read: %s.", label, error)
            return Known(self._listed.get(label, ""), None, str(error))
        return Known(etag, head)

    def _forget(self, label: str) -> None:
        known = self._known.pop(label, None)
        for index_id in known.ids if known else ():
            self._of[index_id].discard(label)
            if not self._of[index_id]:
                del self._of[index_id]
