"""Loads shards from the bucket through the cache: what runs in a thread beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from configs.settings import Cache as CacheSettings
from matcher.errors import MatchError, NotLoaded, NotReadable, SearchFailed
from matcher.held import Held
from pipeline.artifact import (
    ArtifactCorrupt,
    ArtifactMissing,
    Cache,
    FormatTooNew,
    Manifest,
    Store,
    list_heads,
    read_head,
    read_manifest,
)
from pipeline.device.gpu_found import asked
from pipeline.search.index import Index
from pipeline.search.opening import open_index

Got = TypeVar("Got")

WARM_UP = 4
"""Queries searched before an index answers."""


class Loader:
    """Bucket and cache; no state of its own but what the cache holds."""

    def __init__(self, store: Store, cache: CacheSettings, environ: Mapping[str, str], device: str = "cpu") -> None:
        home = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.store = store
        self._device = _found(device)
        self._cache = Cache(Path(cache.folder) if cache.folder else home / "lim", cache.quota_bytes)
        self._threads: set[object] = set()

    @property
    def busy(self) -> bool:
        """Whether a thread is at work, which nobody can interrupt: it may wait for a store that does not answer."""
        return bool(self._threads)

    async def aside(self, work: Callable[..., Got], *args: object) -> Got:
        """Do what takes long in a thread."""
        mark = object()
        self._threads.add(mark)

        def run() -> Got:
            try:
                return work(*args)
            finally:
                self._threads.discard(mark)

        return await asyncio.to_thread(run)

    def heads(self) -> dict[str, str]:
        """Every label with the etag of its head, by one listing."""
        return list_heads(self.store)

    def head(self, label: str) -> str:
        """The index id that serves a label."""
        return read_head(self.store, label)[0].index_id

    def manifest(self, label: str, index_id: str) -> Manifest:
        """The manifest of an index."""
        return read_manifest(self.store, label, index_id)

    def load(self, manifest: Manifest, shard: int = 0) -> Held:
        """Fetch, open and warm a shard.  Raises NotLoaded, ArtifactError, or SearchFailed for what the machine refuses."""
        name = f"{manifest.label} {manifest.index_id}"
        try:
            folder = self._cache.fetch(self.store, manifest, shard)
            try:
                index = open_index(folder, manifest, shard, device=self._device)
                _warm(index)
            except BaseException:
                self._cache.release(folder)
                raise
        except MemoryError as error:
            raise NotLoaded(f"{name}: the machine has no memory for it ({error})") from error
        except (OSError, RuntimeError, ValueError) as error:
            raise SearchFailed(f"{name}: cannot be loaded ({error})") from error
        return Held(index, folder, shard)

    def drop(self, held: Held) -> None:
        """Free a shard; its files may be evicted from then on."""
        held.index.close()
        self._cache.release(held.folder)


def known(error: Exception) -> MatchError:
    """The error that says on the wire why an index is not loaded."""
    if isinstance(error, MatchError):
        return error
    corrupt = isinstance(error, ArtifactCorrupt | ArtifactMissing | FormatTooNew)
    return NotReadable(str(error)) if corrupt else SearchFailed(str(error))


def _found(device: str) -> str:
    """`cpu` for `auto` where no GPU answers: asked once, not for each index."""
    return "cpu" if device == "auto" and asked() else device


def _warm(index: Index) -> None:
    """The first searches touch the index's pages, which no request should wait for."""
    index.search(np.eye(WARM_UP, index.dim, dtype=np.float32), min(10, max(index.rows, 1)))
