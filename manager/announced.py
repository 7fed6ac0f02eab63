"""What matchers announce in Redis, as this side reads it: the wire is matcher/keys.py."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import msgpack

logger = logging.getLogger(__name__)

Index = tuple[str, str]
"""Label and index id."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A shard that a matcher holds."""

    label: str
    index_id: str
    shard: int
    shards: int
    rows: int
    memory: int
    """Predicted bytes."""
    retired: bool
    """Its label has moved on; it is freed soon."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An index that a matcher wants and cannot load."""

    label: str
    index_id: str
    error_code: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """A matcher whose announcement stands.  What only the second key tells is None where it has none."""

    matcher_id: str
    format: int
    """The newest format of an index that it reads."""
    protocol: int
    started: float
    """Seconds since 1970."""
    holdings: tuple[Holding, ...]
    loading: tuple[tuple[str, str, int], ...]
    """Label, index id, shard."""
    requests_per_s: float | None = None
    """Read in the last ten seconds or so; `answered_per_s` likewise, errors included."""
    answered_per_s: float | None = None
    errors_per_s: float | None = None
    polled: float | None = None
    """When it last read the bucket, seconds since 1970; 0 = not yet."""
    poll_s: float | None = None
    """How often it should."""
    unreachable: str = ""
    """Why it could not read the bucket when it last tried."""
    memory: int | None = None
    """Predicted bytes of what it holds or loads."""
    memory_limit: int | None = None
    failed: tuple[Failed, ...] = ()
    """A few of those that it cannot load; `failures` counts all."""
    failures: int = 0
    drifting: tuple[str, ...] = ()
    """Labels whose live recall surely lies below what the build measured."""

    @property
    def labels(self) -> int:
        """Labels of which it holds something that has not retired."""
        return len({one.label for one in self.holdings if not one.retired})

    def to_json(self) -> dict[str, Any]:
        """JSON fields."""
        return asdict(self) | {"labels": self.labels}


@dataclass(slots=True)
class Holders:
    """Who holds an index: shards by matcher."""

    shards: int = 1
    held_by: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Those retired included."""
    ready_by: dict[str, tuple[int, ...]] = field(default_factory=dict)
    loading_by: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[int, ...]:
        """Shards that no matcher holds, be it retired."""
        held = {shard for shards in self.held_by.values() for shard in shards}
        return tuple(shard for shard in range(self.shards) if shard not in held)


NOT_OF_THE_PROTOCOL = (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException)


def matcher_of(body: bytes) -> Matcher | None:
    """An announcement; None, with a warning in the log, where it is not of the protocol."""
    try:
        told = msgpack.unpackb(body)
        loading = ((one["label"], one["index_id"], one["shard"]) for one in told.get("loading", ()))
        return Matcher(
            matcher_id=told["id"], format=told["format"], protocol=told["protocol"], started=told["started"],
            holdings=tuple(_holding(one) for one in told["indexes"]), loading=tuple(sorted(loading)),
        )  # fmt: skip
    except NOT_OF_THE_PROTOCOL as error:
        logger.warning("An announcement is not of the protocol (%r): %r.", error, body[:80])
        return None


def with_figures(matcher: Matcher, figures: bytes | None) -> Matcher:
    """The matcher with what its second key says; as it is where there is none, as of an older matcher."""
    if figures is None:
        return matcher
    try:
        more = msgpack.unpackb(figures)
        loading = {(label, index_id, shard) for label, index_id, shard in more.get("loading", ())}
        return replace(
            matcher, loading=tuple(sorted({*matcher.loading, *loading})),
            failed=tuple(Failed(*one) for one in more.get("failed", ())), drifting=tuple(more.get("drifting", ())),
            **{name: more[name] for name in _PLAIN if name in more},
        )  # fmt: skip
    except NOT_OF_THE_PROTOCOL as error:
        logger.warning("%s: its figures are not of the protocol (%r): %r.", matcher.matcher_id, error, figures[:80])
        return matcher


_PLAIN = (
    "requests_per_s", "answered_per_s", "errors_per_s", "polled", "poll_s", "unreachable", "memory", "memory_limit", "failures",
)  # fmt: skip
"""Fields of the second key that are taken as they are; those of a newer matcher that are unknown are passed over."""


def _holding(one: Mapping[str, Any]) -> Holding:
    return Holding(
        one["label"], one["index_id"], one["shard"], one["shards"], one["rows"], one["memory"], bool(one.get("retired"))
    )


def holders_of(matchers: Iterable[Matcher]) -> dict[Index, Holders]:
    """Who holds or loads each index."""
    found: dict[Index, Holders] = {}
    for matcher in matchers:
        for one in matcher.holdings:
            holders = found.setdefault((one.label, one.index_id), Holders())
            holders.shards = one.shards
            _add(holders.held_by, matcher.matcher_id, one.shard)
            if not one.retired:
                _add(holders.ready_by, matcher.matcher_id, one.shard)
        for label, index_id, shard in matcher.loading:
            holders = found.setdefault((label, index_id), Holders())
            _add(holders.loading_by, matcher.matcher_id, shard)
    return found


def _add(shards: dict[str, tuple[int, ...]], matcher_id: str, shard: int) -> None:
    shards[matcher_id] = (*shards.get(matcher_id, ()), shard)
