"""The figures of a build: what a person, a script or a page wants to know of it afterwards."""

from __future__ import annotations

import json
from typing import Any

from pipeline.artifact import Manifest, Store, index_prefix

FIGURES = "build.json"
"""Beside the report, outside the digest: what the run that published spent, which no other run repeats."""


def summary(manifest: Manifest, stages: dict[str, dict[str, float]], seconds: float) -> dict[str, Any]:
    """The figures as JSON fields; `stages` and `seconds` are of this run alone."""
    anonymous, mapped = (sum(getattr(one.memory, name) for one in manifest.shards) for name in ("anonymous", "mapped"))
    return {
        "label": manifest.label, "index_id": manifest.index_id, "content_digest": manifest.content_digest,
        "rows": manifest.count, "dim": manifest.descriptor.dim, "recipe": manifest.recipe,
        "point": {"nprobe": manifest.point.nprobe, "rerank": manifest.point.rerank},
        "seconds": seconds, "rows_per_s": manifest.count / seconds,
        "cpu_s": sum(stage["cpu_s"] for stage in stages.values()), "stages": stages,
        "rejects": manifest.rejects["count"], "quality": manifest.quality,
        "memory": {
            "anonymous": anonymous, "mapped": mapped, "bytes_per_vector": anonymous / manifest.count,
            "largest_shard": max(one.memory.anonymous for one in manifest.shards),
        },
        "shards": len(manifest.shards),
        "report": index_prefix(manifest.label, manifest.index_id) + "report.html",
    }  # fmt: skip


def keep(store: Store, figures: dict[str, Any]) -> None:
    """Write the figures of a build beside its report."""
    key = index_prefix(figures["label"], figures["index_id"]) + FIGURES
    store.write(key, json.dumps(figures, indent=1).encode())


def kept(store: Store, label: str, index_id: str) -> dict[str, Any]:
    """What `keep` wrote; raises ArtifactMissing for an index of before there were figures, or whose builder died."""
    found: dict[str, Any] = json.loads(store.read(index_prefix(label, index_id) + FIGURES))
    return found
