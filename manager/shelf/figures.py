"""Figures of an index from its manifest."""

from __future__ import annotations

from typing import Any

from manager.shelf.rows import Figures
from pipeline.artifact import Manifest


def figures_of(manifest: Manifest) -> Figures:
    """What a manifest says, as a person reads it."""
    quality, chosen = manifest.quality, _chosen(manifest)
    speeds: list[dict[str, Any]] = chosen.get("speeds") or []
    alone = next((one["p50_ms"] for one in speeds if one["batch"] == 1), chosen.get("p50_ms"))
    largest = max(speeds, key=lambda one: int(one["batch"]), default=None)
    batch_us = chosen.get("batch_us")
    return Figures(
        created=manifest.created,
        rows=manifest.count,
        nbytes=sum(file.nbytes for shard in manifest.shards for file in shard.files),
        memory=sum(shard.memory.anonymous for shard in manifest.shards),
        mapped=sum(shard.memory.mapped for shard in manifest.shards),
        shards=len(manifest.shards),
        format=manifest.format,
        recipe=manifest.recipe,
        parameters=manifest.parameters,
        nprobe=manifest.point.nprobe,
        rerank=manifest.point.rerank,
        descriptor_version=manifest.descriptor.version,
        dim=manifest.descriptor.dim,
        forced=manifest.forced,
        recall_at_10=quality.get("recall_at_10"),
        added_fnir=quality.get("added_fnir"),
        added_fnir_bound=quality.get("added_fnir_bound"),
        target=quality.get("target"),
        resolvable=quality.get("resolvable"),
        threshold=quality.get("threshold"),
        fpir=quality.get("fpir"),
        verdict=str(quality.get("verdict", "")),
        latency_ms=alone,
        requests_per_s=largest["qps"] if largest else 1e6 / batch_us if batch_us else None,
        cost_us=chosen.get("cost_us"),
        rejected_rows=int(manifest.rejects.get("count", 0)),
        content_digest=manifest.content_digest,
    )


def _chosen(manifest: Manifest) -> dict[str, Any]:
    """The entry of the measured curve at which the index is searched; {} where none was measured."""
    point = (manifest.point.nprobe, manifest.point.rerank)
    at = [one for one in manifest.points if (one.get("nprobe"), one.get("rerank")) == point]
    # several candidates may have a point of these numbers: only the published one was not rejected, unless it was forced
    return next((one for one in at if not one.get("rejected")), at[0] if len(at) == 1 else {})
