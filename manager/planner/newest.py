"""Which content the newest index of each label holds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from redis.asyncio import Redis

from manager.connecting import reaching
from manager.tasks.keys import built
from pipeline.artifact import ArtifactError, ArtifactMissing, Store, list_heads, read_head, read_manifest

ROUND = 500
"""Labels asked for in one round trip to Redis."""

AT_ONCE = 8
"""Heads that are read at one time."""


async def newest(redis: Redis, store: Store, labels: Iterable[str]) -> tuple[dict[str, str], dict[str, ArtifactError]]:
    """Fingerprints by label, without those that have no index, with what could not be read beside them.

    What Redis does not know (it was emptied, or an operator built the index) is read from the bucket.  Raises
    ArtifactError where that cannot be listed, Unavailable.
    """
    labels = list(labels)
    found: dict[str, str] = {}
    for first in range(0, len(labels), ROUND):
        some = labels[first : first + ROUND]
        pipe: Any = redis.pipeline(transaction=False)
        for label in some:
            pipe.hget(built(label), "fingerprint")
        with reaching(redis):
            found |= {label: text for label, text in zip(some, await pipe.execute(), strict=True) if text is not None}
    unknown = [label for label in labels if label not in found]
    if not unknown:
        return found, {}
    told, errors = await asyncio.to_thread(_published, store, unknown)
    return found | told, errors


def _published(store: Store, labels: list[str]) -> tuple[dict[str, str], dict[str, ArtifactError]]:
    """The same from heads and manifests."""
    heads = list_heads(store)
    there = [label for label in labels if label in heads]
    with ThreadPoolExecutor(AT_ONCE, "newest") as pool:
        results = dict(zip(there, pool.map(lambda label: _watermark(store, label), there), strict=True))
    told = {label: text for label, text in results.items() if isinstance(text, str)}
    return told, {label: error for label, error in results.items() if isinstance(error, ArtifactError)}


def _watermark(store: Store, label: str) -> str | ArtifactError | None:
    """None where the label has no index any more, "" where its index does not say what it was made of."""
    try:
        head, _ = read_head(store, label)
        return read_manifest(store, label, head.index_id).watermark or ""
    except ArtifactMissing:
        return None
    except ArtifactError as error:
        return error
