"""The manifest of a build: from the plan, the assembled files and the decision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.artifact import Descriptor, File, Manifest, Shard, content_digest, format_of
from pipeline.quality.decision import Decision
from pipeline.recipes.candidate import Candidate
from pipeline.recipes.known import memory, shard_of
from pipeline.sharding import extents
from pipeline.workspace import Work


def provisional_manifest(work: Work, candidate: Candidate, files: Sequence[File]) -> Manifest:
    """What the manifest of a candidate would be, at its first operating point, before anything was measured.

    `files` are those of all shards, with keys as they are published.
    """
    return _manifest(
        work, candidate, files, {"point": candidate.points[0], "points": (), "quality": {}, "forced": False}
    )


def final_manifest(work: Work, candidate: Candidate, decision: Decision, files: Sequence[File]) -> Manifest:
    """The manifest that is published."""
    fields = {
        "point": decision.point,
        "points": tuple(decision.curve),
        "quality": decision.quality,
        "forced": work.spec.build.force and not decision.passed and decision.resolvable,
    }
    return _manifest(work, candidate, files, fields)


def _shards(candidate: Candidate, files: Sequence[File]) -> Iterator[Shard]:
    for extent in extents(candidate.rows, candidate.shards):
        mine = tuple(file for file in files if file.key.startswith(f"shards/{extent.shard:04d}/"))
        yield Shard(rows=extent.rows, files=mine, memory=memory(shard_of(candidate, extent.rows)))


def _manifest(work: Work, candidate: Candidate, files: Sequence[File], measured: dict[str, Any]) -> Manifest:
    spec, census = work.spec, work.census()
    shards = tuple(_shards(candidate, files))
    return Manifest(
        format=format_of(shards),
        label=spec.label,
        index_id=spec.index_id,
        created=spec.created,
        descriptor=Descriptor(version=spec.descriptor_version, dim=spec.dim),
        count=census["total"],
        recipe=candidate.recipe,
        parameters=candidate.parameters,
        delta_seq=0,
        watermark=spec.fingerprint,
        shards=shards,
        seed=spec.build.seed,
        versions=spec.versions,
        rejects={"count": census["rejected"]},
        content_digest=content_digest(candidate.recipe, candidate.parameters, measured["point"], shards),
        **measured,
    )
