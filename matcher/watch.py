"""Keeps what is held in step with the bucket: loads beside, switches, retires, drops."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from redis.exceptions import ResponseError

from configs.settings import Matcher
from matcher.announce import Announcer
from matcher.errors import MatchError
from matcher.held import Held
from matcher.loader import Loader, known
from matcher.reading import Reading
from matcher.residency import Failure, Residency
from matcher.sharing import AGAIN_S, Sharing
from pipeline.artifact import ArtifactError, ArtifactMissing, StoreUnavailable

logger = logging.getLogger(__name__)

TELL_S = 0.3
"""How often what was loaded is announced while more is being loaded: well below the announcement's life."""


class Watch:
    """One look at the bucket after the other.  Everything slow runs in a thread; switching is one assignment."""

    def __init__(
        self, loader: Loader, residency: Residency, reading: Reading, announcer: Announcer, section: Matcher
    ) -> None:
        self._loader = loader
        self._residency = residency
        self._reading = reading
        self._announcer = announcer
        self._only = {label.strip() for label in section.labels.split(",") if label.strip()}
        self.sharing = Sharing(loader, residency, reading, announcer, section)
        """Sees to indexes of several shards."""
        self._etags: dict[str, str] = {}
        self._untold: dict[str, str] = {}
        """Index ids by label that are loaded but not announced yet."""
        self._told_at = 0.0
        self.polled_at: float | None = None
        """Monotonic time of the last look that succeeded."""
        self.unreachable = ""
        """Why the last look failed."""

    async def look(self) -> None:
        """Compare with the bucket by one listing; read only what changed."""
        try:
            heads = await self._loader.aside(self._loader.heads)
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
        for label in (self._residency.labels() | set(self.sharing.heads)) - set(wanted):
            self._residency.drop(label, time.monotonic() + AGAIN_S)
            self.sharing.forget(label)
            logger.info("%s: vanished from the bucket, dropped.", label)
        for label in (set(self._etags) | set(self._residency.failures)) - set(wanted):
            self._etags.pop(label, None)
            self._residency.failures.pop(label, None)

    async def _follow(self, label: str, etag: str) -> None:
        """Serve what the head names; on failure what is held goes on answering."""
        index_id = ""
        try:
            index_id = await self._loader.aside(self._loader.head, label)
            await self._switch(label, index_id)
            self._etags[label] = etag
        except (MatchError, ArtifactError, ResponseError) as error:
            if isinstance(error, ArtifactMissing) and not index_id:
                logger.info("%s: its head vanished while it was read; the next look tells.", label)
                return
            why = known(error)
            wait_s = 0.0 if isinstance(error, StoreUnavailable) else AGAIN_S
            self._residency.failures[label] = Failure(index_id, etag, why, time.monotonic() + wait_s)
            self._etags[label] = etag
            logger.warning("%s: index %s is not served (%d): %s.", label, index_id, why.error_code, error)

    async def _switch(self, label: str, index_id: str) -> None:
        """Load and announce; every step is harmless when it is done again after Redis went away in between."""
        held = None if label in self.sharing.heads else self._residency.again((label, index_id, 0), shards=1)
        if held is None:
            manifest = await self._loader.aside(self._loader.manifest, label, index_id)
            if self.sharing.concerns(label, manifest):
                self.sharing.follow(manifest)
                self._residency.failures.pop(label, None)
                return
            with self._residency.reserved(manifest, 0):
                held = await self._loader.aside(self._loader.load, manifest)
        began = time.monotonic()
        self._residency.add(held)
        self._residency.serve(label, index_id)
        self._residency.failures.pop(label, None)
        await self._reading.shard(held.place)
        await self._reading.label(label, whole=True)
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
            (before,) = await self._announcer.pointed([label])
            try:
                named = await self._loader.aside(self._loader.head, label)
            except ArtifactMissing:
                return  # the label vanished; the next look drops it
            if named != index_id:
                self._etags.pop(label, None)
                return
            if await self._announcer.serve(label, before, index_id):
                return

    async def retire(self, answer_s: float, stale_s: float, idle: Callable[[Held], Awaitable[bool]]) -> None:
        """Free shards that retired `answer_s` ago and have nothing to do; leave their streams `stale_s` later.

        One that is still asked after `stale_s` more is freed all the same: its clients do not look where to ask.
        """
        now = time.monotonic()
        for held in self._residency.retired():
            age = now - (held.retired_at or now)
            if age > answer_s and (age > answer_s + stale_s or await idle(held)) and held.retired_at is not None:
                self._residency.free(held, now + stale_s)
        for held in list(self._residency.dropped.values()):
            if not held.in_work:
                del self._residency.dropped[held.place]
                await self._loader.aside(self._loader.drop, held)
                logger.info("%s: freed.", held.name)
        for place, until in list(self._residency.gone.items()):
            if now > until:
                del self._residency.gone[place]
                self._reading.leave_shard(place)
                if place[0] not in self._residency.labels() | set(self.sharing.heads):
                    self._reading.leave_label(place[0])
