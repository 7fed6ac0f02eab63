"""What the bucket knows of labels, of published indexes, of builds that were interrupted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from configs.settings import Settings
from manager.recovering.specs import spec_of, task_of
from manager.shelf.keys import INDEXES, part_of
from manager.tasks.task import Task
from pipeline.artifact import (
    MANIFEST,
    ArtifactError,
    Manifest,
    Store,
    StoreUnavailable,
    index_prefix,
    list_heads,
    read_head,
    read_manifest,
)
from pipeline.artifact.fences import BUILD, newest_fence

AT_ONCE = 16
"""Objects read at a time."""

RECOVERED = "recovered"
"""Who submitted a recovered task."""

_SPEC = re.compile(r"work/[^/]+/spec\.json")
Of = TypeVar("Of")
Result = TypeVar("Result")


@dataclass(slots=True)
class Found:
    """What a bucket tells."""

    serving: dict[str, str] = field(default_factory=dict)
    """Label → the index that its head names."""
    published: list[Task] = field(default_factory=list)
    """Every index as the task that built it, oldest first."""
    interrupted: list[Task] = field(default_factory=list)
    """Builds of managers that left a work folder and no index, oldest first."""
    fence: int = 0
    """The newest token of a leader."""
    problems: list[str] = field(default_factory=list)
    """What could not be read, each with the reason."""


class Bucket:
    """Reads a bucket; raises StoreUnavailable."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._found = Found()

    def read(self) -> Found:
        """Everything: two listings, and the manifest and the report of each index."""
        found = self._found
        found.fence = newest_fence(self._store, BUILD)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            heads = self._each(pool, list(list_heads(self._store)), lambda label: read_head(self._store, label)[0])
            found.serving = {head.label: head.index_id for head in heads}
            entries = self._store.entries(INDEXES)
            parts = [(part, entry.modified) for key, entry in entries.items() if (part := part_of(key))]
            whole = [(part.label, part.index_id, at) for part, at in parts if part.name == MANIFEST]
            found.published = sorted(self._each(pool, whole, self._index), key=lambda task: task.created)
            there = {task.task_id for task in found.published}
            specs = [
                (key, entry.modified) for key, entry in self._store.entries("work/").items() if _SPEC.fullmatch(key)
            ]
            builds = [task for task in self._each(pool, specs, self._build) if task and task.task_id not in there]
            found.interrupted = sorted(builds, key=lambda task: task.created)
        return found

    def _each(self, pool: ThreadPoolExecutor, some: list[Of], read: Callable[[Of], Result]) -> Iterator[Result]:
        """What can be read of some; what cannot is noted."""

        def tried(one: Of) -> Result | ArtifactError:
            try:
                return read(one)
            except StoreUnavailable:
                raise
            except ArtifactError as error:
                return error

        for result in pool.map(tried, some):
            if isinstance(result, ArtifactError):
                self._found.problems.append(str(result))
            else:
                yield result

    def _index(self, where: tuple[str, str, float]) -> Task:
        """An index as a task that succeeded."""
        label, index_id, modified = where
        manifest = read_manifest(self._store, label, index_id)
        spec = self._spec(index_prefix(label, index_id) + "report.json", "spec")
        # without its report, what it holds is known by the fingerprint alone
        known = task_of(spec, self._settings) if spec else _bare(manifest)
        began = datetime.fromisoformat(manifest.created).timestamp()
        return replace(
            known, task_id=index_id, label=label, status="success", rows=manifest.count, created=began, started=began,
            ended=max(began, modified), attempts=1, digest=manifest.content_digest, submitted_by=RECOVERED,
        )  # fmt: skip

    def _build(self, where: tuple[str, float]) -> Task | None:
        """An interrupted build as a task that waits; None for one that no manager began."""
        key, modified = where
        spec = self._spec(key)
        if spec is None or not spec.asked:
            return None
        return replace(task_of(spec, self._settings), created=modified, submitted_by=RECOVERED)

    def _spec(self, key: str, name: str = "") -> Any:
        try:
            value = json.loads(self._store.read(key))
        except StoreUnavailable:
            raise
        except (ArtifactError, ValueError):
            return None
        return spec_of(value.get(name) if name else value)


def _bare(manifest: Manifest) -> Task:
    return Task(task_id=manifest.index_id, label=manifest.label, source="", fingerprint=manifest.watermark or "")
