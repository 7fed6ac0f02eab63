"""The client for code without an event loop: the same one, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Sequence
from types import TracebackType
from typing import Any, TypeVar, Unpack

from numpy.typing import ArrayLike

from configs.settings import Client
from matcher.client import MatchClient
from matcher.merge import Answer, Sighting
from matcher.question import Options

T = TypeVar("T")


class SyncMatchClient:
    """`with SyncMatchClient(url) as client: client.match(label, descriptor)`.  Safe for any number of threads."""

    def __init__(self, redis_url: str, settings: Client | None = None) -> None:
        self._url, self._settings = redis_url, settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: MatchClient | None = None

    def __enter__(self) -> SyncMatchClient:
        """Connect; raises Unreachable."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lim-client", daemon=True)
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
        """Disconnect; what other threads still wait for raises TimedOut."""
        if self._client is not None:
            self._run(self._client.__aexit__(kind, error, trace))
        self._stop()

    def match(self, label: str, descriptor: ArrayLike | bytes, **options: Unpack[Options]) -> Answer:
        """See `MatchClient.match`."""
        return self._run(self._open.match(label, descriptor, **options))

    def match_many(self, label: str, descriptors: Iterable[ArrayLike], **options: Unpack[Options]) -> list[Answer]:
        """See `MatchClient.match_many`."""
        return self._run(self._open.match_many(label, descriptors, **options))

    def match_labels(
        self, labels: Sequence[str], descriptor: ArrayLike | bytes, **options: Unpack[Options]
    ) -> tuple[Sighting, ...]:
        """See `MatchClient.match_labels`."""
        return self._run(self._open.match_labels(labels, descriptor, **options))

    async def _opened(self) -> MatchClient:
        # Made inside the loop that it is used in.
        return await MatchClient(self._url, self._settings).__aenter__()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise RuntimeError("use the client in a `with` block: it is not connected")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C in the waiting thread: nobody wants the answer any more
            raise

    def _stop(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = self._client = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    @property
    def _open(self) -> MatchClient:
        if self._client is None:
            raise RuntimeError("use the client in a `with` block: it is not connected")
        return self._client
