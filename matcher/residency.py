"""The indexes that this matcher holds within its memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from matcher.errors import MatchError, NotLoaded
from matcher.recall import Live, measured_recall
from pipeline.artifact import Manifest
from pipeline.search.index import Index

SHARE_OF_HOST = 0.8


@dataclass(slots=True)
class Held:
    """A loaded shard.  When another index of the label serves, it retires: first answering on, then only `stale`."""

    index: Index
    folder: Path
    shard: int = 0
    retired_at: float | None = None
    """Monotonic time at which the label moved on."""
    in_work: int = 0
    """Groups of requests that are being answered from it; it must not be closed before they are."""
    cost_s: float = 0.0
    """CPU seconds of a search, per request."""
    served: dict[str, Any] = field(default_factory=dict)
    """What every answer says of the index."""
    live: Live = field(default_factory=Live)
    """How well it answers."""

    def __post_init__(self) -> None:
        """Fix what answers say."""
        manifest = self.index.manifest
        self.live.expected = measured_recall(manifest.quality)
        self.served = {
            "label": manifest.label, "index_id": manifest.index_id, "watermark": manifest.delta_seq,
            "shard": self.shard, "shards": len(manifest.shards),
        }  # fmt: skip

    @contextmanager
    def used(self) -> Iterator[None]:
        """While it answers, it is not closed."""
        self.in_work += 1
        try:
            yield
        finally:
            self.in_work -= 1

    def search_took(self, seconds: float) -> None:
        """Learn what one request costs, on one core; recent searches weigh more."""
        self.cost_s += (seconds - self.cost_s) * (0.1 if self.cost_s else 1.0)

    @property
    def comparable(self) -> bool:
        """Whether there is an exact search to compare with; the exact recipe is that search itself."""
        return self.index.manifest.recipe != "exact"

    @property
    def label(self) -> str:
        """The label."""
        return self.index.manifest.label

    @property
    def index_id(self) -> str:
        """The build."""
        return self.index.manifest.index_id


@dataclass(frozen=True, slots=True)
class Failure:
    """An index that could not be loaded."""

    index_id: str
    etag: str
    error: MatchError
    again_at: float
    """Monotonic time of the next try."""


class Residency:
    """Held indexes by label, with the retired ones; changed on the event loop only."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit = limit_bytes or int(psutil.virtual_memory().total * SHARE_OF_HOST)
        self.current: dict[str, Held] = {}
        self.retired: dict[str, Held] = {}
        """By index id."""
        self.dropped: dict[str, Held] = {}
        """By index id: of those that answer no more; they are closed when nothing is in work."""
        self.gone: dict[str, tuple[str, float]] = {}
        """Index ids whose memory is free, with label and the monotonic time until which `stale` is answered."""
        self.failures: dict[str, Failure] = {}

    def used(self) -> int:
        """Predicted bytes of everything held."""
        return sum(held.index.memory.anonymous for held in self._in_memory())

    def _in_memory(self) -> Iterator[Held]:
        yield from self.current.values()
        yield from self.retired.values()
        yield from self.dropped.values()

    def check(self, manifest: Manifest, shard: int) -> None:
        """Raise NotLoaded unless one more shard fits beside what is held."""
        wanted, used = manifest.shards[shard].memory.anonymous, self.used()
        if used + wanted > self.limit:
            raise NotLoaded(
                f"{manifest.label} {manifest.index_id}: needs {wanted:,} bytes beside {used:,} in use, allowed are "
                f"{self.limit:,}: give the matcher more memory (matcher.memory_limit_bytes) or fewer labels"
            )

    def add(self, held: Held) -> None:
        """Let `held` be the current index of its label; the one before retires."""
        before = self.current.get(held.label)
        if before is not None and before.index_id != held.index_id:
            before.retired_at = time.monotonic()
            self.retired[before.index_id] = before
        self.retired.pop(held.index_id, None)
        self.gone.pop(held.index_id, None)
        held.retired_at = None
        self.current[held.label] = held
        self.failures.pop(held.label, None)

    def again(self, index_id: str) -> Held | None:
        """An index that is still in memory although its label moved on or vanished."""
        return self.retired.get(index_id) or self.dropped.pop(index_id, None)

    def drop(self, label: str, until: float) -> None:
        """The label vanished: nothing of it answers from now on; what comes until `until` is refused."""
        held = [one for one in (*self.current.values(), *self.retired.values()) if one.label == label]
        self.current.pop(label)
        for one in held:
            self.retired.pop(one.index_id, None)
            self.dropped[one.index_id] = one
            self.gone[one.index_id] = (label, until)

    def free(self, held: Held, until: float) -> None:
        """A retired index answers no more; what comes until `until` is told that it is stale."""
        del self.retired[held.index_id]
        self.dropped[held.index_id] = held
        self.gone[held.index_id] = (held.label, until)

    def find(self, label: str, index_id: str | None) -> Held | None:
        """The current index of a label, or the one named while it can still answer."""
        current = self.current.get(label)
        if index_id is None or (current is not None and current.index_id == index_id):
            return current
        return self.retired.get(index_id)
