"""Keeps what is held in step with the bucket: loads beside, switches, retires, drops."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import ResponseError

from configs.settings import Matcher
from matcher import keys
from matcher.announce import Announcer
from matcher.consumer import Consumer
from matcher.errors import MatchError, NotReadable, SearchFailed
from matcher.loader import Loader
from matcher.residency import Failure, Held, Residency
from pipeline.artifact import ArtifactCorrupt, ArtifactError, ArtifactMissing, FormatTooNew, StoreUnavailable

logger = logging.getLogger(__name__)

Got = TypeVar("Got")

TELL_S = 0.3
"""How often what was loaded is announced while more is being loaded: well below the announcement's life."""

AGAIN_S = 15.0
"""Seconds until an index that could not be loaded is tried again, unless its head changes."""


class Watch:
    """One look at the bucket after the other.  Everything slow runs in a thread; switching is one assignment."""

    def __init__(
        self, loader: Loader, residency: Residency, consumer: Consumer, announcer: Announcer, section: Matcher
    ) -> None:
        self._loader = loader
        self._residency = residency
        self._consumer = consumer
        self._announcer = announcer
        self._group = section.consumer_group
        self._only = {label.strip() for label in section.labels.split(",") if label.strip()}
        self._etags: dict[str, str] = {}
        self._untold: dict[str, str] = {}
        """Index ids by label that are loaded but not announced yet."""
        self._told_at = 0.0
        self._threads: set[object] = set()
        self.polled_at: float | None = None
        """Monotonic time of the last look that succeeded."""
        self.unreachable = ""
        """Why the last look failed."""

    @property
    def busy(self) -> bool:
        """Whether a thread is at work, which nobody can interrupt: it may wait for a store that does not answer."""
        return bool(self._threads)

    async def _aside(self, work: Callable[..., Got], *args: object) -> Got:
        """Do what takes long in a thread."""
        mark = object()
        self._threads.add(mark)

        def run() -> Got:
            try:
                return work(*args)
            finally:
                self._threads.discard(mark)

        return await asyncio.to_thread(run)

    async def look(self) -> None:
        """Compare with the bucket by one listing; read only what changed."""
        try:
            heads = await self._aside(self._loader.heads)
        except ArtifactError as error:
            self.unreachable = str(error)
            logger.warning("The bucket cannot be read, so what is held goes on answering: %s.", error)
            return
        self.polled_at, self.unreachable = time.monotonic(), ""
        wanted = {label: etag for label, etag in heads.items() if not self._only or label in self._only}
        for label, etag in wanted.items():
            failure = self._residency.failures.get(label)
            due = failure is not None and (failure.etag != etag or time.monotonic() > failure.again_at)
            if due or self._etags.get(label) != etag:
                await self._follow(label, etag)
        if self._untold:
            await self._tell()
        for label in set(self._residency.current) - set(wanted):
            self._residency.drop(label, time.monotonic() + AGAIN_S)
            logger.info("%s: vanished from the bucket, dropped.", label)
        for label in (set(self._etags) | set(self._residency.failures)) - set(wanted):
            self._etags.pop(label, None)
            self._residency.failures.pop(label, None)

    async def _follow(self, label: str, etag: str) -> None:
        """Serve what the head names; on failure what is held goes on answering."""
        index_id = ""
        try:
            index_id = await self._aside(self._loader.head, label)
            await self._switch(label, index_id)
            self._etags[label] = etag
        except (MatchError, ArtifactError, ResponseError) as error:
            if isinstance(error, ArtifactMissing) and not index_id:
                logger.info("%s: its head vanished while it was read; the next look tells.", label)
                return
            known = _known(error)
            wait_s = 0.0 if isinstance(error, StoreUnavailable) else AGAIN_S
            self._residency.failures[label] = Failure(index_id, etag, known, time.monotonic() + wait_s)
            self._etags[label] = etag
            logger.warning("%s: index %s is not served (%d): %s.", label, index_id, known.error_code, error)

    async def _switch(self, label: str, index_id: str) -> None:
        """Load and announce; every step is harmless when it is done again after Redis went away in between."""
        held = self._residency.current.get(label)
        if held is None or held.index_id != index_id:
            held = self._residency.again(index_id)
        if held is None:
            manifest = await self._aside(self._loader.manifest, label, index_id)
            held = await self._aside(self._loader.load, manifest, self._residency)
        began = time.monotonic()
        self._residency.add(held)
        await self._consumer.join(keys.index_stream(label, index_id), keys.shard_group(held.shard))
        await self._consumer.join(label, self._group)
        self._untold[label] = index_id
        if time.monotonic() - self._told_at > TELL_S:
            await self._tell()
        logger.info(
            "%s: serving %s, %d rows; switched in %.0f ms.",
            label,
            index_id,
            held.index.rows,
            (time.monotonic() - began) * 1e3,
        )

    async def _tell(self) -> None:
        """Announce what was loaded since the last time, then let requests go there: a thousand lists at once."""
        self._told_at = time.monotonic()
        await self._announcer.renew()
        while self._untold:
            label = next(iter(self._untold))
            await self._point(label, self._untold[label])
            del self._untold[label]

    async def _point(self, label: str, index_id: str) -> None:
        """Move the serving index, if the bucket still says so: a slow loader must not turn back a newer one."""
        for _ in range(10):
            try:
                named = await self._aside(self._loader.head, label)
            except ArtifactMissing:
                return  # the label vanished; the next look drops it
            if named != index_id:
                self._etags.pop(label, None)
                return
            if await self._announcer.serve(label, index_id):
                return

    async def retire(self, answer_s: float, stale_s: float, idle: Callable[[Held], Awaitable[bool]]) -> None:
        """Free indexes that retired `answer_s` ago and have nothing to do; leave their streams `stale_s` later.

        One that is still asked after `stale_s` more is freed all the same: its clients do not look where to ask.
        """
        now = time.monotonic()
        for held in list(self._residency.retired.values()):
            age = now - (held.retired_at or now)
            if age > answer_s and (age > answer_s + stale_s or await idle(held)):
                self._residency.free(held, now + stale_s)
        for held in list(self._residency.dropped.values()):
            if not held.in_work:
                del self._residency.dropped[held.index_id]
                await self._aside(self._loader.drop, held)
                logger.info("%s: freed %s.", held.label, held.index_id)
        for index_id, (label, until) in list(self._residency.gone.items()):
            if now > until:
                del self._residency.gone[index_id]
                self._consumer.leave(keys.index_stream(label, index_id))
                if label not in self._residency.current:
                    self._consumer.leave(label)


def _known(error: Exception) -> MatchError:
    """The error that says on the wire why an index is not loaded."""
    if isinstance(error, MatchError):
        return error
    corrupt = isinstance(error, ArtifactCorrupt | ArtifactMissing | FormatTooNew)
    return NotReadable(str(error)) if corrupt else SearchFailed(str(error))
