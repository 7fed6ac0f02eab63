"""Names in Redis: the part of the wire that both sides must agree on."""

from __future__ import annotations

from typing import NamedTuple

PROTOCOL = 1
"""Version of the wire; requests carry it in the field `v`."""

REFRESH_S = 3.0
"""Clients look at who serves what at least this often; a retired index answers on for as long."""

MATCHERS = "lim:matchers"
"""Sorted set of matcher ids by the time, in milliseconds of Redis, at which their announcement lapses."""

ANSWER_STREAMS = "lim:answer:"
"""A response stream's name must begin so."""


class Feed(NamedTuple):
    """A consumer group on a stream: what a matcher reads.  One matcher may read a stream for several shards."""

    stream: str
    group: str


def index_stream(label: str, index_id: str) -> str:
    """Requests for one index of a label."""
    return f"{label}:{index_id}"


def shard_group(shard: int) -> str:
    """The consumer group of a shard on an index's stream."""
    return f"shard-{shard:04d}"


def shard_of(group: str) -> int | None:
    """The shard whose consumer group it is; None for the group on the original's streams."""
    number = group[6:]
    return int(number) if group.startswith("shard-") and number.isdecimal() else None


def claim(label: str, index_id: str, shard: int) -> str:
    """Which matcher is about to load a shard that nobody holds; expires."""
    return f"lim:claim:{label}:{index_id}:{shard}"


def announcement(matcher_id: str) -> str:
    """What a matcher holds; expires unless renewed."""
    return f"lim:matcher:{matcher_id}"


def figures(matcher_id: str) -> str:
    """What a matcher tells of itself beside that, for pages: rates, memory, its last look at the bucket; expires as well."""
    return f"lim:matcher-figures:{matcher_id}"


def serving(label: str) -> str:
    """The index id that requests for a label go to."""
    return f"lim:serving:{label}"


def backlog(label: str) -> str:
    """Requests waiting for a label; expires, and means none when it is missing."""
    return f"lim:backlog:{label}"


def dead(stream: str) -> str:
    """Where messages go that nobody can answer."""
    return f"{stream}:dead"


def answer_channel(client_id: str) -> str:
    """Where a client listens."""
    return f"lim:answers:{client_id}"
