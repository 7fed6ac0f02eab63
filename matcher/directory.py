"""Who serves what, as the announcements say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgpack
from redis.asyncio import Redis

from matcher import keys
from matcher.errors import Busy, NoIndex


@dataclass(frozen=True, slots=True)
class Served:
    """An index that live matchers hold."""

    index_id: str
    dim: int
    shards: int
    descriptor_version: str


@dataclass(slots=True)
class Directory:
    """A snapshot, renewed in the background."""

    labels: dict[str, dict[str, Served]] = field(default_factory=dict)
    """By label and index id."""
    chosen: dict[str, str] = field(default_factory=dict)
    """The index id that a label's requests go to."""
    backlog: dict[str, int] = field(default_factory=dict)
    _bodies: list[bytes | None] = field(default_factory=list)
    """The announcements as they were last read; the same bytes are not unpacked again."""

    def find(self, label: str, max_backlog: int) -> Served:
        """The index for a label.  Raises NoIndex or Busy at once: nothing is sent that nobody can answer."""
        held = self.labels.get(label)
        if not held:
            raise NoIndex(f"nobody serves label {label!r}: publish an index for it and start a matcher (`lim matcher`)")
        if (waiting := self.backlog.get(label, 0)) >= max_backlog:
            raise Busy(
                f"label {label!r}: {waiting} requests are waiting, {max_backlog} are allowed: try later or start more matchers"
            )
        return held.get(self.chosen.get(label, "")) or next(iter(held.values()))

    async def meet(self, redis: Redis, used: set[str], label: str) -> None:
        """Learn of a label that was not used before where it points and how much waits; one MGET, if it is announced."""
        asked = [keys.serving(label), keys.backlog(label)] if label in self.labels else []
        found: Any = await redis.mget(asked) if asked else (None, None)
        pointed, waiting = found
        if pointed and pointed.decode() in self.labels[label]:
            self.chosen[label] = pointed.decode()
            if waiting:
                self.backlog[label] = int(waiting)
        else:
            await self.refresh(redis, used)

    async def refresh(self, redis: Redis, used: set[str]) -> None:
        """Read the announcements, and for the labels in use where they point and how much waits."""
        names: Any = await redis.zrange(keys.MATCHERS, 0, -1)
        bodies: Any = await redis.mget([keys.announcement(name.decode()) for name in names]) if names else []
        if bodies != self._bodies:
            self.labels, self._bodies = _by_label(bodies), bodies
        mine = sorted(used & set(self.labels))
        pointed: Any = await redis.mget([keys.serving(label) for label in mine]) if mine else []
        waiting: Any = await redis.mget([keys.backlog(label) for label in mine]) if mine else []
        self.chosen = {label: value.decode() for label, value in zip(mine, pointed, strict=True) if value}
        self.backlog = {label: int(value) for label, value in zip(mine, waiting, strict=True) if value}


def _indexes(bodies: list[bytes | None]) -> list[dict[str, Any]]:
    return [one for body in bodies if body for one in msgpack.unpackb(body)["indexes"]]


def _by_label(bodies: list[bytes | None]) -> dict[str, dict[str, Served]]:
    labels: dict[str, dict[str, Served]] = {}
    # those that serve come before those that retire: the first is what is asked when nothing is pointed at
    for one in sorted(_indexes(bodies), key=lambda one: not one["retired"], reverse=True):
        found = Served(one["index_id"], one["dim"], one["shards"], one["descriptor_version"])
        labels.setdefault(one["label"], {}).setdefault(found.index_id, found)
    return labels
