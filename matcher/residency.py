"""The shards of indexes that this matcher holds within its memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import psutil

from matcher.errors import MatchError, NotLoaded
from matcher.held import Held, Place
from pipeline.artifact import Manifest

SHARE_OF_HOST = 0.8


@dataclass(frozen=True, slots=True)
class Failure:
    """An index that could not be loaded."""

    index_id: str
    etag: str
    error: MatchError
    again_at: float
    """Monotonic time of the next try."""


class Residency:
    """What is held, being loaded, or still told of; changed on the event loop only."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit = limit_bytes or int(psutil.virtual_memory().total * SHARE_OF_HOST)
        self.serving: dict[str, str] = {}
        """The index of each label that requests go to, as far as we know, be it that we hold all, some or none of it."""
        self.held: dict[Place, Held] = {}
        """Shards that answer: of indexes that serve, of those to come, and retired ones."""
        self.loading: dict[Place, Manifest] = {}
        self.dropped: dict[Place, Held] = {}
        """Shards that answer no more; they are closed when nothing is in work."""
        self.gone: dict[Place, float] = {}
        """Shards whose memory is free, with the monotonic time until which `stale` is answered."""
        self.failures: dict[str, Failure] = {}

    def used(self) -> int:
        """Predicted bytes of everything held or being loaded."""
        held = sum(one.index.memory.anonymous for one in chain(self.held.values(), self.dropped.values()))
        return held + sum(one.shards[place[2]].memory.anonymous for place, one in self.loading.items())

    def lacking(self, manifest: Manifest, shard: int) -> str:
        """Why one more shard does not fit beside what is held; empty when it does."""
        wanted, used = manifest.shards[shard].memory.anonymous, self.used()
        if used + wanted <= self.limit:
            return ""
        name = f"{manifest.label} {manifest.index_id}" + (f" shard {shard}" if len(manifest.shards) > 1 else "")
        return (
            f"{name}: needs {wanted:,} bytes beside {used:,} in use, allowed are {self.limit:,}: "
            "give the matcher more memory (matcher.memory_limit_bytes) or fewer labels"
        )

    @contextmanager
    def reserved(self, manifest: Manifest, shard: int) -> Iterator[None]:
        """Keep memory for a shard while it is loaded.  Raises NotLoaded unless it fits beside what is held."""
        if why := self.lacking(manifest, shard):
            raise NotLoaded(why)
        place = (manifest.label, manifest.index_id, shard)
        self.loading[place] = manifest
        try:
            yield
        finally:
            del self.loading[place]

    def add(self, held: Held) -> None:
        """A shard can answer from now on."""
        self.gone.pop(held.place, None)
        held.retired_at = None
        self.held[held.place] = held

    def serve(self, label: str, index_id: str) -> None:
        """Requests for a label go to an index from now on; the shards of others retire."""
        self.serving[label] = index_id
        self.keep(label, {index_id})

    def keep(self, label: str, index_ids: set[str]) -> None:
        """The shards of these indexes of a label are wanted, those of others retire."""
        for held in self.of(label):
            if held.index_id in index_ids:
                held.retired_at = None
            elif held.retired_at is None:
                held.retired_at = time.monotonic()

    def of(self, label: str) -> list[Held]:
        """Everything of a label that answers."""
        return [held for place, held in self.held.items() if place[0] == label]

    def again(self, place: Place, shards: int) -> Held | None:
        """A shard that is still in memory although its label moved on or vanished; None if it is one of more or fewer."""
        held = self.held.get(place) or self.dropped.get(place)
        if held is None or held.shards != shards:
            return None
        self.dropped.pop(place, None)
        return held

    def drop(self, label: str, until: float) -> None:
        """The label vanished: nothing of it answers from now on; what comes until `until` is refused."""
        self.serving.pop(label, None)
        self.gone[label, "", 0] = until  # its own stream is left then as well
        for held in self.of(label):
            self.free(held, until)

    def free(self, held: Held, until: float) -> None:
        """A shard answers no more; what comes until `until` is told that it is stale."""
        del self.held[held.place]
        self.dropped[held.place] = held
        self.gone[held.place] = until

    def labels(self) -> set[str]:
        """Labels of which anything answers, or whose requests we see to."""
        return {place[0] for place in self.held} | set(self.serving)

    def current(self) -> list[Held]:
        """Shards of the indexes that serve."""
        return [held for held in self.held.values() if self.serving.get(held.label) == held.index_id]

    def retired(self) -> list[Held]:
        """Shards whose label moved on."""
        return [held for held in self.held.values() if held.retired_at is not None]

    def whole(self, label: str) -> Held | None:
        """The index that serves a label, if all of it is here in one shard."""
        held = self.held.get((label, self.serving.get(label, ""), 0))
        return held if held is not None and held.shards == 1 else None
