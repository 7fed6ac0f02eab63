"""Where the shards are of indexes that have several, for pages."""

from __future__ import annotations

from typing import Any

from matcher.residency import Residency
from matcher.sharing import Sharing


def whereabouts(sharing: Sharing, residency: Residency) -> list[dict[str, Any]]:
    """Of each index that the bucket wants served: which shards are held here, which elsewhere, which nowhere, and why."""
    return [_of(sharing, residency, label) for label in sharing.heads]


def _of(sharing: Sharing, residency: Residency, label: str) -> dict[str, Any]:
    manifest = sharing.heads[label]
    holders, shards = sharing.holders(manifest), range(len(manifest.shards))
    here = {held.shard for held in residency.of(label) if held.index_id == manifest.index_id}
    somewhere = holders.held if holders is not None else set()
    loading = {place[2] for place in residency.loading if place[:2] == (label, manifest.index_id)}
    why = {
        str(shard): str(sharing.lacking[label, manifest.index_id, shard].error)
        for shard in shards if shard not in here and (label, manifest.index_id, shard) in sharing.lacking
    }  # fmt: skip
    return {
        "label": label, "index_id": manifest.index_id, "shards": len(shards),
        "serves": residency.serving.get(label) == manifest.index_id, "held": sorted(here), "loading": sorted(loading),
        "elsewhere": sorted(somewhere - here), "missing": sorted(set(shards) - here - somewhere), "not_held": why,
    }  # fmt: skip
