"""What a person should look at, from what the bucket says beside what matchers announce."""

from __future__ import annotations

from collections.abc import Iterator

from manager.announced import Matcher
from manager.matchers import Seen
from manager.shelf.rows import Alarm, IndexView

LATE_POLLS = 5
"""Looks at the bucket that a matcher may miss before that is an alarm; at least LATE_S seconds."""

LATE_S = 15.0


def of_index(view: IndexView, seen: Seen) -> Iterator[Alarm]:
    """Of the index that a head names."""
    if view.figures is None:
        kind = "missing_index" if view.missing else "unreadable"
        yield Alarm(
            kind=kind, label=view.label,
            text=f"{view.label}: the index {view.index_id}, which is to serve, cannot be read: {view.problem}; roll back to "
            "another version, or build it again",
        )  # fmt: skip
    if seen.matchers and not view.held_by:
        doing = "is being loaded" if view.loading_by else "is loaded by no matcher"
        yield Alarm(kind="unserved", label=view.label, text=f"{view.label}: the index {view.index_id} {doing}")
    elif view.held_by and view.missing_shards:
        shards = ", ".join(map(str, view.missing_shards))
        yield Alarm(
            kind="missing_shards", label=view.label,
            text=f"{view.label}: no matcher holds shard {shards} of {view.index_id}: start another matcher, or give them "
            "more memory",
        )  # fmt: skip


def of_matchers(seen: Seen) -> Iterator[Alarm]:
    """Of the matchers themselves."""
    if not seen.matchers:
        yield Alarm(kind="no_matcher", text="no matcher announces itself in redis.url: start one with `lim matcher`")
    for one in seen.matchers:
        yield from _of_matcher(one, seen.at)


def _of_matcher(one: Matcher, now: float) -> Iterator[Alarm]:
    who = one.matcher_id
    if one.unreachable:
        yield Alarm(kind="not_polling", matcher_id=who, text=f"{who}: it cannot read the bucket: {one.unreachable}")
    elif one.polled is not None and one.poll_s is not None and not one.loading:
        silent_s = now - (one.polled or one.started)
        if silent_s > max(LATE_S, LATE_POLLS * one.poll_s):
            yield Alarm(
                kind="not_polling", matcher_id=who,
                text=f"{who}: it has not looked at the bucket for {silent_s:.0f} s, expected is every {one.poll_s:g} s: see its log",
            )  # fmt: skip
    for failed in one.failed:
        yield Alarm(
            kind="not_loaded", label=failed.label, matcher_id=who,
            text=f"{who}: {failed.label} {failed.index_id} is not loaded ({failed.error_code}): {failed.detail}",
        )  # fmt: skip
    for label in one.drifting:
        yield Alarm(
            kind="drift", label=label, matcher_id=who,
            text=f"{who}: live recall of {label} lies below what the build measured: build it again, or roll back",
        )  # fmt: skip
