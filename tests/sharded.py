"""Small indexes of several shards in a bucket, as a build would publish them, without the build."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from published import Published, bucket, publish_index

from pipeline.artifact import File, Manifest, Shard, Store, content_digest, format_of, index_prefix, publish


@dataclass(frozen=True)
class Made:
    """What a sharded index is made from."""

    rows: NDArray[np.float16]
    """(total, dim), unit norm."""
    shards: int
    people: Sequence[str] | None = None
    recipe: str = "exact"
    memory: int | None = None
    """Predicted bytes of each shard; of float32 rows when it is not given."""


def publish_sharded(store: Store, label: str, index_id: str, made: Made) -> Published:
    """Rows in as many parts, each with numbers of its own; ids begin with the index id, as those of one shard do."""
    total, count = len(made.rows), made.shards
    names = [f"{index_id}-{number}" for number in range(total)]
    shards: list[Shard] = []
    manifest: Manifest | None = None
    with tempfile.TemporaryDirectory() as folder:
        for shard in range(count):
            part = slice(total * shard // count, total * (shard + 1) // count)
            more: dict[str, Any] = {} if made.memory is None else {"memory": made.memory}
            alone = bucket(Path(folder) / str(shard))
            one = publish_index(
                alone, label, index_id, made.rows[part], ids=names[part], recipe=made.recipe,
                people=None if made.people is None else made.people[part], **more,
            )  # fmt: skip
            manifest, home = one.manifest, index_prefix(label, index_id)
            files = []
            for file in manifest.shards[0].files:
                key = file.key.replace("shards/0000/", f"shards/{shard:04d}/")
                data = alone.read(home + file.key)
                store.write(home + key, data)
                files.append(File.of(key, data))
            shards.append(replace(manifest.shards[0], files=tuple(files)))
    assert manifest is not None
    whole = replace(
        manifest, format=format_of(shards), count=total, shards=tuple(shards),
        content_digest=content_digest(manifest.recipe, {}, manifest.point, shards),
    )  # fmt: skip
    publish(store, whole)
    return Published(whole, made.rows, tuple(names))
