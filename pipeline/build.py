"""Drives a build: from a source's listing to a published index, continuing what an earlier run left."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Protocol

from configs.settings import Settings
from pipeline.artifact import Manifest, Store, open_store
from pipeline.device.choose import device
from pipeline.errors import BuildError
from pipeline.nodes.offers import own_versions
from pipeline.order import Order, listed
from pipeline.patience import patiently
from pipeline.publishing import clean_up, publish_index, published
from pipeline.spec import BuildSpec, Terms
from pipeline.stage import Done, Item, Runner, Stage, marker
from pipeline.stages import BUILD
from pipeline.summary import keep, summary
from pipeline.whole import WHOLE, whole
from pipeline.workspace import Work


class Progress(Protocol):
    """Told of what happens."""

    def started(self, stage: str, items: int, finished: int) -> None:
        """A stage begins; `finished` of its items were done by an earlier run."""
        ...

    def item(self, stage: str, done: Done) -> None:
        """An item is done."""
        ...

    def ended(self, stage: str, seconds: float) -> None:
        """All items of a stage are done."""
        ...


@dataclass(frozen=True, slots=True)
class Built:
    """A published index with what this run spent on each stage: wall seconds, CPU seconds, items, rows."""

    manifest: Manifest
    stages: dict[str, dict[str, float]]
    seconds: float

    @property
    def figures(self) -> dict[str, Any]:
        """All of it as JSON fields."""
        return summary(self.manifest, self.stages, self.seconds)


def build(
    order: Order,
    settings: Settings,
    runner: Callable[[], Runner],
    progress: Progress,
    terms: Callable[[], Terms] = Terms,
) -> Built:
    """Build and publish; `runner` is asked for one once the source is known to be readable.

    `terms` is asked under which the index is published, just before it is: a manager's fence, what matchers read.
    Running the same order again after a crash continues: finished items are not redone, and the same
    index is published.  Raises BuildError, SourceError or ArtifactError.
    """
    started = time.monotonic()
    store = open_store(settings.storage.bucket, settings.storage)
    if settings.storage.conditional_writes == "probe":
        store.check_conditions()
    work = Work(store, begin(store, make_spec(order, settings)))
    stages: dict[str, dict[str, float]] = {}
    if "done/publish/all" not in work.keys("done/publish/"):
        chosen = runner()
        for stage in WHOLE if order.whole else BUILD:
            if stage.run in (publish_index, whole):
                work = replace(work, spec=replace(work.spec, terms=terms()))
            stages[stage.name] = run_stage(stage, work, chosen, progress)
    manifest = patiently(lambda: published(work), settings.storage.patience_s)
    if manifest is None:
        raise BuildError(
            f"{work.prefix}: expected the manifest that this build published, got none; was it deleted meanwhile?"
        )
    built = Built(manifest, stages, time.monotonic() - started)
    if stages:  # of another run that published it, the figures are there
        patiently(lambda: keep(store, built.figures), settings.storage.patience_s)
    patiently(lambda: clean_up(work), settings.storage.patience_s)
    return built


def make_spec(order: Order, settings: Settings) -> BuildSpec:
    """The build as data; reads the source's listing only."""
    listing, fingerprint = listed(order, settings)
    kind = device(settings.build.device).kind
    return BuildSpec(
        label=order.label, source_url=order.source, probes_url=order.probes, fingerprint=fingerprint,
        descriptor_version=settings.build.descriptor_version or listing.descriptor_version, dim=listing.dim,
        device=kind, build=settings.build, quality=settings.quality,
        source=settings.source, images=settings.images, storage=replace(settings.storage, access_key="", secret_key=""),
        versions=own_versions(kind), index_id=order.index_id, asked=bool(order.index_id),
    )  # fmt: skip


def begin(store: Store, spec: BuildSpec) -> BuildSpec:
    """Give the build an index id, unless it has one, with its time, or take those of the run that it continues."""
    fresh = replace(
        spec, index_id=spec.index_id or str(uuid.uuid4()), created=datetime.now(UTC).isoformat(timespec="seconds")
    )
    kept: Any = Work(store, spec).create_json("spec.json", json.loads(fresh.to_json()))
    Work(store, spec).write("begun", b"")  # whoever sweeps up after dead builds sees that this one lives again
    started = BuildSpec.from_json(json.dumps(kept).encode())
    return replace(spec, index_id=started.index_id, created=started.created)


def run_stage(stage: Stage, work: Work, runner: Runner, progress: Progress) -> dict[str, float]:
    """Do the items of a stage that have no marker yet; one listing finds those that have."""
    began = time.monotonic()
    patience_s = work.spec.storage.patience_s
    items: list[Item] = patiently(lambda: list(stage.items(work)), patience_s)
    finished = {key.rsplit("/", 1)[-1] for key in patiently(lambda: work.keys(marker(stage)), patience_s)}
    todo = [item for item in items if item.key not in finished]
    progress.started(stage.name, len(items), len(items) - len(todo))
    rows, cpu_s = 0, 0.0

    def report(done: Done) -> None:
        nonlocal rows, cpu_s
        rows, cpu_s = rows + done.rows, cpu_s + done.cpu_s
        progress.item(stage.name, done)

    for _, wave in groupby(sorted(todo, key=_wave), key=_wave):
        runner(stage, work, list(wave), report)
    seconds = time.monotonic() - began
    progress.ended(stage.name, seconds)
    rate = rows / seconds if rows else 0.0
    return {"seconds": seconds, "cpu_s": cpu_s, "items": len(todo), "rows": rows, "rows_per_s": rate}


def _wave(item: Item) -> int:
    return item.wave
