"""A loaded shard of an index."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matcher.keys import Feed, index_stream, shard_group
from matcher.recall import Live, measured_recall
from pipeline.search.index import Index

Place = tuple[str, str, int]
"""Label, index id, shard."""


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

    @property
    def shards(self) -> int:
        """Shards of the index."""
        return len(self.index.manifest.shards)

    @property
    def place(self) -> Place:
        """Which shard of which index of which label."""
        return self.label, self.index_id, self.shard

    @property
    def feed(self) -> Feed:
        """Where its requests come from."""
        return feed_of(self.place)

    @property
    def name(self) -> str:
        """For logs: label and index, with the shard where there are several."""
        return f"{self.label} {self.index_id}" + (f" shard {self.shard} of {self.shards}" if self.shards > 1 else "")


@dataclass(frozen=True, slots=True)
class Whole:
    """An index that was asked through our own client: what an answer made of its shards' answers says of it."""

    served: dict[str, Any]


def feed_of(place: Place) -> Feed:
    """Where requests for a shard come from."""
    label, index_id, shard = place
    return Feed(index_stream(label, index_id), shard_group(shard))
