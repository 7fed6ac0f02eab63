"""A task as data: one list to index, from the wish to the published index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

Status = Literal["pending", "indexing", "success", "error", "cancelled"]
STATUSES: tuple[Status, ...] = get_args(Status)

OPEN: frozenset[Status] = frozenset({"pending", "indexing"})
"""States from which a task moves on by itself."""

MOVES: dict[Status, tuple[Status, ...]] = {
    "pending": ("indexing", "cancelled"),
    "indexing": ("success", "error", "cancelled", "pending"),  # back to pending: a further attempt, after a while
    "error": ("pending",),  # somebody asks for it again
    "cancelled": ("pending",),
    "success": (),
}
"""The allowed moves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One list to index; `task_id` becomes the index id.  Times are seconds since 1970, 0 = not yet."""

    task_id: str
    label: str
    source: str
    probes: str = ""
    options: dict[str, str] = field(default_factory=dict)
    """Settings of this build over those in force: `build.recipe` → `scan`."""
    priority: int = 0
    """Higher goes first; equal ones in the order of submission."""
    content: str = ""
    """sha256 over label, source, probes, options and fingerprint: equal tasks build equal indexes."""
    fingerprint: str = ""
    """Of the source's listing when it was submitted: the content's watermark."""
    rows: int = 0
    """Of the source when it was submitted; of the index once it is published."""
    status: Status = "pending"
    created: float = 0.0
    not_before: float = 0.0
    """A further attempt waits until then."""
    started: float = 0.0
    """Of the first attempt."""
    ended: float = 0.0
    attempts: int = 0
    """Builds of it that were begun."""
    cancelling: bool = False
    """Somebody asked to end it, and its build runs still."""
    fence: int = 0
    """Token of the leader that moved it last."""
    indexer: str = ""
    """Where it is built: the address of the scheduler, or the manager that runs workers of its own."""
    stage: str = ""
    items: int = 0
    finished: int = 0
    """Items of the stage, all of them and those done."""
    rows_per_s: float = 0.0
    eta_s: float = -1.0
    """Seconds that the stage will take still; −1 = unknown."""
    error_code: int = 0
    desc: str = ""
    detail: str = ""
    """Why it ended as it did, or what went wrong in the attempt before."""
    digest: str = ""
    """content_digest of the published index."""
    request_id: str = ""
    submitted_by: str = ""
    """`api`, `planner`, `lim submit` or a person's name, as they say themselves."""

    @property
    def is_open(self) -> bool:
        """Whether it waits or is being built."""
        return self.status in OPEN

    def to_redis(self) -> dict[str, str]:
        """The fields of its hash in Redis; texts as they are, everything else as JSON."""
        return as_redis(asdict(self))

    @classmethod
    def from_redis(cls, found: dict[str, str]) -> Task:
        """What `to_redis` wrote; unknown fields, of a newer version, are passed over.  Raises KeyError for missing ones."""
        read: dict[str, Any] = {}
        for one in fields(cls):
            if one.name in found:
                read[one.name] = found[one.name] if one.type in ("str", "Status") else json.loads(found[one.name])
        if missing := {"task_id", "label", "source"} - set(read):
            raise KeyError(f"a task without {', '.join(sorted(missing))}")
        return cls(**read)


def as_redis(values: Mapping[str, Any]) -> dict[str, str]:
    """Values of a hash: texts as they are, everything else as JSON."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}


def content_of(task: Task) -> str:
    """The `content` of a task with this label, source, probes, options and fingerprint."""
    parts = [task.label, task.source, task.probes, sorted(task.options.items()), task.fingerprint]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
