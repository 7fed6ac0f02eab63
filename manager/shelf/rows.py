"""What pages say of labels, indexes: frozen data, made from heads, manifests, announcements."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a manifest says, as a person reads it; None = it was not measured, or the manifest is too old to say."""

    created: str
    """Time of the build's start, ISO 8601 with zone."""
    rows: int
    nbytes: int
    """Bytes of the index's files in the bucket, the report not counted."""
    memory: int
    """Predicted bytes of memory of all shards, loaded."""
    mapped: int
    """Predicted bytes that they map from files."""
    shards: int
    format: int
    recipe: str
    parameters: dict[str, Any] = field(repr=False)
    nprobe: int
    """Of the operating point: cells probed; with `rerank` candidates re-ranked; 0 and 0 for exact search."""
    rerank: int
    descriptor_version: str
    dim: int
    forced: bool
    """Published although it missed its target."""
    recall_at_10: float | None
    added_fnir: float | None
    added_fnir_bound: float | None
    """One-sided upper bound of it."""
    target: float | None
    """Most added FNIR that was allowed."""
    resolvable: bool | None
    """Whether there were probes enough to tell the target."""
    threshold: float | None
    """Similarity above which exact search has this FPIR:"""
    fpir: float | None
    verdict: str
    latency_ms: float | None
    """Median of one request alone, as the build measured it."""
    requests_per_s: float | None
    """In the largest batches, on the threads of one task, as the build measured it."""
    cost_us: float | None
    """Microseconds of one core a request, as the cost model predicts."""
    rejected_rows: int
    """Rows of the source that were not taken."""
    content_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexView:
    """A version of a label."""

    label: str
    index_id: str
    serves: bool
    """The head names it."""
    previous: bool
    """The head named it before the one that serves."""
    figures: Figures | None
    """None where its manifest cannot be read; `problem` says why."""
    problem: str = ""
    missing: bool = False
    """There is no manifest: it was removed, or its build never finished."""
    held_by: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Shards by the id of the matcher that holds them, those retired included."""
    loading_by: dict[str, tuple[int, ...]] = field(default_factory=dict)
    missing_shards: tuple[int, ...] = ()
    """Shards that no matcher holds; all of them where nobody holds anything of it."""
    asked: bool = False
    """Requests for the label go to it: matchers have switched to it."""

    def to_json(self) -> dict[str, Any]:
        """JSON fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something that a person should look at."""

    kind: str
    """`unserved`, `missing_shards`, `missing_index`, `unreadable`, `not_loaded`, `drift`, `not_polling`, `no_matcher` or
    `bucket`."""
    text: str
    """What is wrong, in one sentence with what to do."""
    label: str = ""
    matcher_id: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRow:
    """A label in a list of many."""

    label: str
    index: IndexView | None
    """The one that the head names; None where the head cannot be read."""
    versions: int
    """Versions that the head remembers, removed ones included."""
    alarms: tuple[Alarm, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelView:
    """A label with everything that the bucket has of it."""

    label: str
    etag: str
    """Of the head that this was read from."""
    index_id: str
    """What serves."""
    previous: tuple[str, ...]
    """What the head says served before, newest first; some may have been removed since."""
    asked_index_id: str
    """Where requests go now: the one before while matchers load the new one; empty where nobody serves."""
    versions: tuple[IndexView, ...]
    """Newest first, by the time of their build."""
    alarms: tuple[Alarm, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON fields."""
        return asdict(self)
