"""What manifests say, read when somebody asks; they never change, so that each is read once."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from manager.shelf.figures import figures_of
from manager.shelf.rows import Figures
from pipeline.artifact import ArtifactError, ArtifactMissing, Store, StoreUnavailable, read_manifest

AGAIN_S = 10.0
"""Seconds after which one that was missing is looked for again: an id may be published after it was asked for."""

Index = tuple[str, str]
"""Label and index id."""


@dataclass(frozen=True, slots=True)
class Told:
    """The figures of a manifest, or why there are none."""

    figures: Figures | None
    problem: str = ""
    missing: bool = False
    """There is no manifest: the index was removed, or never finished."""
    until: float = float("inf")
    """Monotonic time up to which that is believed."""


class Manifests:
    """Blocking: `read` belongs into a thread."""

    def __init__(self, store: Store, pool: ThreadPoolExecutor) -> None:
        """`pool` reads several at a time."""
        self._store = store
        self._pool = pool
        self._told: dict[Index, Told] = {}

    def read(self, indexes: Iterable[Index]) -> dict[Index, Told]:
        """What the manifests of these indexes say, reading those that are not known.  Raises StoreUnavailable."""
        indexes = list(indexes)
        wanted = [one for one in indexes if self.known(one) is None]
        for index, told in zip(wanted, self._pool.map(self._read, wanted), strict=True):
            self._told[index] = told
        return {one: self._told[one] for one in indexes}

    def known(self, index: Index) -> Told | None:
        """What is in memory."""
        told = self._told.get(index)
        return told if told is not None and told.until > time.monotonic() else None

    def forget(self, index: Index) -> None:
        """It was removed."""
        self._told.pop(index, None)

    def _read(self, index: Index) -> Told:
        again = time.monotonic() + AGAIN_S
        try:
            return Told(figures_of(read_manifest(self._store, *index)))
        except ArtifactMissing as error:
            return Told(None, str(error), missing=True, until=again)
        except StoreUnavailable:
            raise
        except ArtifactError as error:
            return Told(None, str(error))
