"""What matchers announce, as clients read it to route, other matchers to share the work."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Holders:
    """Who holds an index of a label."""

    dim: int
    shards: int
    retired: bool
    """Whether all who hold something of it say that their label has moved on."""
    held: set[int] = field(default_factory=set)
    """Shards that somebody holds, be it retired."""
    ready: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Matchers by the shard that they hold and have not retired; kept for indexes of several shards only."""
    loading: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Matchers by the shard that they are loading."""

    @property
    def missing(self) -> tuple[int, ...]:
        """Shards that nobody holds."""
        return () if self.shards == 1 and self.held else tuple(sorted(set(range(self.shards)) - self.held))

    @property
    def whole(self) -> bool:
        """Whether every shard is held by somebody who has not retired it."""
        if self.shards == 1:
            return bool(self.held) and not self.retired
        return all(self.ready.get(shard) for shard in range(self.shards))


Announced = dict[str, dict[str, Holders]]
"""Holders by label and index id."""


def announced(bodies: Sequence[bytes | None]) -> Announced:
    """What announcements say, as they lie in Redis; None = lapsed."""
    found: Announced = {}
    for body in filter(None, bodies):
        try:
            content = msgpack.unpackb(body)
            name = content.get("id", "")
            for one in content["indexes"]:
                holders = _of(found, one)
                holders.held.add(one["shard"])
                if not one.get("retired"):
                    holders.retired = False
                    if holders.shards > 1:
                        holders.ready[one["shard"]].add(name)
            for one in content.get("loading", ()):
                _of(found, one).loading[one["shard"]].add(name)
        except (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException) as error:
            logger.warning("An announcement is not of the protocol (%r): %r.", error, body[:80])
    return found


def _of(found: Announced, one: dict[str, Any]) -> Holders:
    of_label = found.setdefault(one["label"], {})
    holders = of_label.get(one["index_id"])
    if holders is None:
        holders = of_label[one["index_id"]] = Holders(one["dim"], one["shards"], retired=True)
    return holders
