"""Versions of labels as a person reads them: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from manager.shelf.rows import IndexView, LabelRow, LabelView


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionView:
    """A version in the table of its label, and what may be done with it."""

    index: IndexView
    created: float
    """Seconds since 1970; 0 = not known."""
    state: str
    """`serves`, `loading` where matchers do not have all of it yet, `previous` or empty."""
    holders: tuple[str, ...]
    """Matchers, with the shards where there are several."""
    newer: bool
    """Built after what serves: serving it goes forward, not back."""
    can_serve: bool
    can_go: bool
    """Whether it may be deleted: not while it serves, nor while a matcher holds or loads it."""
    why_kept: str
    """Why it may not."""


def versions_of(view: LabelView) -> list[VersionView]:
    """All of a label, newest first."""
    serving = next((one for one in view.versions if one.serves), None)
    since = created_of(serving)
    return [_version(one, since) for one in view.versions]


def _version(one: IndexView, since: float) -> VersionView:
    used = bool(one.held_by or one.loading_by or one.asked)
    state = "" if not one.serves else "serves" if not one.missing_shards else "loading"
    why = "it serves" if one.serves else "matchers hold or load it" if used else ""
    return VersionView(
        index=one, created=created_of(one), state=state or ("previous" if one.previous else ""), holders=holders_of(one),
        newer=created_of(one) > since, can_serve=not one.serves and one.figures is not None, can_go=not why, why_kept=why,
    )  # fmt: skip


def holders_of(index: IndexView) -> tuple[str, ...]:
    """Matchers that hold it or load it, in words."""
    shards = index.figures.shards if index.figures else 1
    return (*_named(index.held_by, shards, ""), *_named(index.loading_by, shards, "loading"))


def _named(matchers: Mapping[str, tuple[int, ...]], shards: int, doing: str) -> list[str]:
    found = []
    for matcher_id, parts in sorted(matchers.items()):
        some = f"shard{'s' if len(parts) > 1 else ''} {', '.join(map(str, sorted(parts)))}" if shards > 1 else ""
        words = ", ".join(filter(None, (doing, some)))
        found.append(f"{matcher_id} ({words})" if words else matcher_id)
    return found


def created_of(index: IndexView | None) -> float:
    """When its build began, seconds since 1970; 0 where that cannot be told."""
    if index is None or index.figures is None:
        return 0.0
    try:
        return datetime.fromisoformat(index.figures.created).timestamp()
    except ValueError:
        return 0.0


@dataclass(frozen=True, slots=True)
class RowView:
    """A label in the list of all."""

    row: LabelRow
    created: float
    matchers: int
    """How many hold something of what serves."""


def rows_of(rows: list[LabelRow]) -> list[RowView]:
    """A page of labels."""
    return [RowView(row, created_of(row.index), len(row.index.held_by) if row.index else 0) for row in rows]
