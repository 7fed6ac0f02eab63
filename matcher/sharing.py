"""Shares indexes of several shards with other matchers: who loads what, when requests go there."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from redis.exceptions import ResponseError

from configs.settings import Matcher
from matcher import keys
from matcher.announce import Announcer
from matcher.announced import Announced, Holders
from matcher.choosing import View, listed, nobodys, replicas, reserve, wanted
from matcher.errors import MatchError, NotLoaded
from matcher.held import Place
from matcher.loader import Loader, known
from matcher.reading import Reading
from matcher.residency import Residency
from pipeline.artifact import ArtifactError, ArtifactMissing, Manifest, StoreUnavailable

logger = logging.getLogger(__name__)

AGAIN_S = 15.0
"""Seconds until a shard that could not be loaded is tried again."""

SOON_S = 1.0
"""The same where only the store did not answer."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Why a shard is not held here."""

    error: MatchError
    again_at: float
    """Monotonic time of the next try; a shard that does not fit is looked at each time."""


class Sharing:
    """Labels whose index has several shards, or had until a moment ago.

    Who holds what is known from the announcements.  A shard that nobody holds is claimed in Redis, announced as being
    loaded, then loaded; when every shard of the head's index is held by somebody, requests go there.  What serves is
    never given up for another shard.
    """

    def __init__(
        self, loader: Loader, residency: Residency, reading: Reading, announcer: Announcer, section: Matcher
    ) -> None:
        self._loader = loader
        self._residency = residency
        self._reading = reading
        self._announcer = announcer
        self._only = listed(section.shards)
        self.heads: dict[str, Manifest] = {}
        """What the bucket wants to be served."""
        self.lacking: dict[Place, Lack] = {}
        self.seen: Announced = {}
        """What all matchers announced when we looked last."""
        self.complete = True
        """Whether there was nothing left to take when we looked last."""
        self._old: dict[str, Manifest] = {}
        """Indexes of several shards that requests still go to while the head's is being loaded."""
        self._tried: dict[str, str] = {}
        """Which of them was read for last, by label."""
        self._turn = asyncio.Lock()

    def concerns(self, label: str, manifest: Manifest) -> bool:
        """Whether an index is ours to see to: it has several shards, or takes the place of one that has."""
        return len(manifest.shards) > 1 or label in self.heads

    def follow(self, manifest: Manifest) -> None:
        """The head of a label names this index now."""
        label, ids = manifest.label, {manifest.index_id, self._residency.serving.get(manifest.label)}
        for place in [place for place in self.lacking if place[0] == label and place[1] not in ids]:
            del self.lacking[place]
        self.heads[label] = manifest
        self.complete = False

    def forget(self, label: str) -> None:
        """The label vanished, or needs no sharing any more."""
        self.heads.pop(label, None)
        self._old.pop(label, None)
        self._tried.pop(label, None)
        for place in [place for place in self.lacking if place[0] == label]:
            del self.lacking[place]

    def holders(self, manifest: Manifest) -> Holders | None:
        """Who holds an index, as last seen."""
        return self.seen.get(manifest.label, {}).get(manifest.index_id)

    async def settle(self) -> None:
        """Let requests go to an index as soon as all of it is held; retire what is wanted no more."""
        async with self._turn:
            if not self.heads:
                return
            labels = list(self.heads)
            self.seen = await self._announcer.everybody()
            for label, pointed in zip(labels, await self._announcer.pointed(labels), strict=True):
                if label in self.heads:
                    await self._settle(self.heads[label], pointed)

    async def _settle(self, head: Manifest, pointed: str) -> None:
        label, index_id = head.label, head.index_id
        holders = self.holders(head)
        if pointed != index_id and holders is not None and holders.whole and await self._point(head, pointed):
            pointed = index_id
        elif pointed != index_id:
            await self._read_old(label, pointed)
        if self.heads.get(label) is not head:
            return  # it changed meanwhile, or vanished
        if pointed == index_id:
            self._old.pop(label, None)
            self._tried.pop(label, None)
            if self._residency.serving.get(label) != index_id:
                logger.info("%s: serving %s, of %d shards.", label, index_id, len(head.shards))
            self._residency.serve(label, index_id)
        else:
            if pointed in {held.index_id for held in self._residency.of(label)}:
                self._residency.serving[label] = pointed
            self._residency.keep(label, {index_id, pointed, self._residency.serving.get(label, "")})
        if label in self._residency.serving:
            await self._reading.label(label, whole=self._residency.whole(label) is not None)
        if len(head.shards) == 1 and self._residency.whole(label) and len(self._residency.of(label)) == 1:
            self.forget(label)  # from now on it is an index like others

    async def _read_old(self, label: str, pointed: str) -> None:
        """Requests go to another index than the head's as long as that one is not whole: it must not lose a shard."""
        if pointed and self._tried.get(label) != pointed:
            self._tried[label] = pointed
            try:
                self._old[label] = await self._loader.aside(self._loader.manifest, label, pointed)
            except ArtifactError as error:
                logger.warning("%s: the index %s, which serves, cannot be read any more: %s.", label, pointed, error)
                self._old.pop(label, None)

    async def _point(self, manifest: Manifest, before: str) -> bool:
        """Move the serving index, if the bucket still says so: a slow one must not turn back a newer one."""
        try:
            named = await self._loader.aside(self._loader.head, manifest.label)
        except ArtifactMissing:
            return False  # the label vanished; the next look drops it
        if named != manifest.index_id:
            return False
        return await self._announcer.serve(manifest.label, before, manifest.index_id)

    async def take(self) -> None:
        """Load shards, one after the other, until there is none to take."""
        if self.heads:
            await self._look()
            while (choice := await self._next()) is not None:
                await self._load(*choice)
                await self._look()
        self.complete = True

    async def _look(self) -> None:
        self.seen = await self._announcer.everybody()

    def _views(self) -> Iterator[View]:
        """Every index that a shard may be loaded of; first those that serve although the head names another."""
        now = time.monotonic()
        for manifest in (*self._old.values(), *self.heads.values()):
            leaving = manifest is self._old.get(manifest.label)
            label, index_id = manifest.label, manifest.index_id
            mine = {held.shard for held in self._residency.of(label) if held.index_id == index_id}
            tried = {place for place, lack in self.lacking.items() if lack.again_at > now}
            refused = {shard for shard in range(len(manifest.shards)) if (label, index_id, shard) in tried}
            yield View(manifest, self.holders(manifest), frozenset(mine), frozenset(refused), leaving)

    async def _next(self) -> tuple[Manifest, int] | None:
        """The next shard to load: what the setting names; else what nobody holds, before a second of anything."""
        me, views = self._announcer.id, list(self._views())
        for view in views:
            named = wanted(view, self._only) if self._only else view.shards
            alone = bool(self._only) and not view.leaving  # what is named is loaded whoever else has it
            for shard in named if alone else [one for one in nobodys(view, me) if one in named]:
                place = (view.manifest.label, view.manifest.index_id, shard)
                if self._fits(view.manifest, shard) and (alone or await self._announcer.claim(place)):
                    return view.manifest, shard
        for view in [] if self._only else [one for one in views if not one.leaving]:
            free = self._residency.limit - self._residency.used() - reserve(view.manifest, len(self._announcer.alive))
            for shard in replicas(view, me):
                if view.manifest.shards[shard].memory.anonymous <= free:
                    return view.manifest, shard
        return None

    def _fits(self, manifest: Manifest, shard: int) -> bool:
        """Whether there is memory for a shard; if not, it is noted."""
        place = (manifest.label, manifest.index_id, shard)
        if place in self._residency.dropped or place in self._residency.held:
            return True
        if why := self._residency.lacking(manifest, shard):
            if place not in self.lacking:
                logger.info("Not held here: %s.", why)
            self.lacking[place] = Lack(NotLoaded(why), 0.0)
        return not why

    async def _load(self, manifest: Manifest, shard: int) -> None:
        place = (manifest.label, manifest.index_id, shard)
        try:
            held = self._residency.again(place, len(manifest.shards))
            if held is None:
                with self._residency.reserved(manifest, shard):
                    await self._announcer.renew()
                    held = await self._loader.aside(self._loader.load, manifest, shard)
            if manifest.label not in self.heads:  # the label vanished meanwhile
                await self._loader.aside(self._loader.drop, held)
                return
            self._residency.add(held)
            await self._reading.shard(place)
        except (MatchError, ArtifactError, ResponseError) as error:
            wait_s = SOON_S if isinstance(error, StoreUnavailable) else AGAIN_S
            self.lacking[place] = Lack(known(error), time.monotonic() + wait_s)
            logger.warning("%s %s: shard %d is not held here: %s.", *place, error)
            return
        self.lacking.pop(place, None)
        logger.info("%s: holding it, %d rows.", held.name, held.index.rows)
        await self._announcer.renew()
        await self.settle()

    def orphans(self) -> set[keys.Feed]:
        """Groups of shards that nobody holds."""
        return {
            keys.Feed(keys.index_stream(label, index_id), keys.shard_group(shard))
            for label in self.heads for index_id, holders in self.seen.get(label, {}).items()
            for shard in (holders.missing if holders.shards > 1 else ())
        }  # fmt: skip
