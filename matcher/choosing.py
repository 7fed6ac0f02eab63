"""Which shard a matcher loads next: numbers in, a choice out, no effects."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from configs.errors import ConfigError
from matcher.announced import Holders
from pipeline.artifact import Manifest


@dataclass(frozen=True, slots=True)
class View:
    """What one matcher sees of an index when it chooses."""

    manifest: Manifest
    holders: Holders | None
    """Who holds it; None when nobody does."""
    mine: frozenset[int]
    """Shards that are held here."""
    refused: frozenset[int] = frozenset()
    """Shards that could not be loaded a moment ago."""
    leaving: bool = False
    """Whether it serves only until the next one is whole."""

    @property
    def shards(self) -> range:
        """All shards."""
        return range(len(self.manifest.shards))

    def spare(self, shard: int) -> bool:
        """Whether somebody holds a shard, or is loading it; of an index that is leaving, be it retired."""
        holders = self.holders
        if holders is None:
            return False
        ready = shard in holders.held if self.leaving or holders.shards == 1 else bool(holders.ready.get(shard))
        return ready or bool(holders.loading.get(shard))


def listed(setting: str) -> frozenset[int]:
    """The shards that the setting `matcher.shards` names, none when it is empty; raises ConfigError."""
    parts = [part.strip() for part in setting.split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(
            f"matcher.shards: expected numbers with commas between, 0 for the first shard, got {setting!r}"
        )
    return frozenset(map(int, parts))


def nobodys(view: View, me: str) -> list[int]:
    """Shards that nobody holds nor loads, in the order in which this matcher tries them.

    Each matcher begins at another shard, so that several that start at once seldom meet; where they do, the claim decides.
    """
    free = [shard for shard in view.shards if shard not in view.mine | view.refused and not view.spare(shard)]
    return _turned(free, me)


def replicas(view: View, me: str) -> list[int]:
    """Shards that others hold and this matcher does not, those with the fewest holders first."""
    holders = view.holders
    if holders is None:
        return []
    others = [shard for shard in view.shards if shard not in view.mine | view.refused and view.spare(shard)]
    return sorted(_turned(others, me), key=lambda shard: len(holders.ready.get(shard, ())))


def reserve(manifest: Manifest, matchers: int) -> int:
    """Bytes that a replica leaves free: this matcher's part of the next index of the label.

    Else memory would be full of replicas when the next index comes, nobody could load any of it, and since what serves
    is never given up it would wait for ever.  An index of one shard is loaded by everybody, as long as it fits.
    """
    if len(manifest.shards) == 1:
        return 0
    each = max(shard.memory.anonymous for shard in manifest.shards)
    return each * -(-len(manifest.shards) // max(matchers, 1))


def _turned(shards: Sequence[int], me: str) -> list[int]:
    start = zlib.crc32(me.encode()) % len(shards) if shards else 0
    return [*shards[start:], *shards[:start]]


def wanted(view: View, only: Collection[int]) -> Sequence[int]:
    """Of the shards that a setting names, those that are not held yet; an index of one shard is always wanted."""
    chosen = only if len(view.shards) > 1 else view.shards
    return [shard for shard in view.shards if shard in chosen and shard not in view.mine | view.refused]
