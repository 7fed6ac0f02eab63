"""The client for code without an event loop: the same, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, TypeVar

from numpy.typing import ArrayLike

from configs.settings import Client
from matcher.client import MatchClient
from matcher.merge import Answer, Sighting

T = TypeVar("T")


class SyncMatchClient:
    """`with SyncMatchClient(url) as client: client.match(label, descriptor)`.  Safe for any number of threads."""

    def __init__(self, redis_url: str, settings: Client | None = None) -> None:
        self._url, self._settings = redis_url, settings
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="match-client", daemon=True)
        self._client: MatchClient | None = None

    def __enter__(self) -> SyncMatchClient:
        self._thread.start()
        try:
            self._client = self._run(self._opened())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._run(self._client.__aexit__(kind, error, trace))
        self._stop()

    async def _opened(self) -> MatchClient:
        return await MatchClient(self._url, self._settings).__aenter__()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def _open(self) -> MatchClient:
        if self._client is None:
            raise RuntimeError("use the client in a `with` block")
        return self._client

    def match(self, label: str, descriptor: ArrayLike, **more: Any) -> Answer:
        """See `MatchClient.match`."""
        return self._run(self._open.match(label, descriptor, **more))

    def match_many(self, label: str, descriptors: ArrayLike, **more: Any) -> list[Answer]:
        """See `MatchClient.match_many`."""
        return self._run(self._open.match_many(label, descriptors, **more))

    def match_labels(self, labels: Sequence[str], descriptor: ArrayLike, **more: Any) -> tuple[Sighting, ...]:
        """See `MatchClient.match_labels`."""
        return self._run(self._open.match_labels(labels, descriptor, **more))
