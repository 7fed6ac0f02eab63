"""The manifest of a build: from the plan, the assembled files and the decision."""

from __future__ import annotations

from typing import Any

from pipeline.artifact import FORMAT, Descriptor, File, Manifest, Shard, content_digest
from pipeline.quality.decision import Decision
from pipeline.recipes.candidate import Candidate
from pipeline.recipes.known import memory
from pipeline.sample import candidates
from pipeline.workspace import Work


def provisional_manifest(work: Work, name: str, files: tuple[File, ...]) -> Manifest:
    """What the manifest of candidate `name` would be, at its first operating point, before anything was measured."""
    candidate = _candidate(work, name)
    return _manifest(
        work, candidate, files, {"point": candidate.points[0], "points": (), "quality": {}, "forced": False}
    )


def final_manifest(work: Work, decision: Decision, files: tuple[File, ...]) -> Manifest:
    """The manifest that is published."""
    fields = {
        "point": decision.point,
        "points": tuple(decision.curve),
        "quality": decision.quality,
        "forced": work.spec.build.force and not decision.passed and decision.resolvable,
    }
    return _manifest(work, _candidate(work, decision.name), files, fields)


def _candidate(work: Work, name: str) -> Candidate:
    return next(one for one in candidates(work) if one.name == name)


def _manifest(work: Work, candidate: Candidate, files: tuple[File, ...], measured: dict[str, Any]) -> Manifest:
    spec, census = work.spec, work.census()
    shards = (Shard(rows=census["total"], files=files, memory=memory(candidate)),)
    return Manifest(
        format=FORMAT,
        label=spec.label,
        index_id=spec.index_id,
        created=spec.created,
        descriptor=Descriptor(version=spec.descriptor_version, dim=spec.dim),
        count=census["total"],
        recipe=candidate.recipe,
        parameters=candidate.parameters,
        delta_seq=0,
        watermark=None,
        shards=shards,
        seed=spec.build.seed,
        versions=spec.versions,
        rejects={"count": census["rejected"]},
        content_digest=content_digest(candidate.recipe, candidate.parameters, measured["point"], shards),
        **measured,
    )
