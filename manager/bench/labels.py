"""A thousand small lists, published without a build: what a site with many watchlists has."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import numpy as np

from pipeline.artifact import (
    Descriptor,
    Ids,
    Manifest,
    Memory,
    Point,
    Shard,
    Store,
    content_digest,
    format_of,
    index_prefix,
    publish,
)
from pipeline.generate.faces import Generator
from pipeline.search.assembly import RowCoder

ROWS = 100


def publish_lists(store: Store, names: list[str], dim: int, version: str) -> dict[str, str]:
    """An exact index of 100 made-up rows under each name; returns the index id of each."""
    found = {}
    generator = Generator("isotropic", 1, dim)
    coder = RowCoder("float16", dim, np.empty(0, np.float32))
    for number, name in enumerate(names):
        rows = np.ascontiguousarray(generator.chunk(number, ROWS)[0], np.float16)
        index_id = found[name] = str(uuid.uuid4())
        home = index_prefix(name, index_id)
        data = {
            "index.dat": coder.header(ROWS) + rows.tobytes(),
            "ids.dat": Ids.encode(np.arange(ROWS, dtype=np.int64) + number * ROWS),
        }
        files = []
        for file, content in data.items():
            written = store.write(f"{home}shards/0000/{file}", content)
            files.append(type(written)(f"shards/0000/{file}", written.nbytes, written.sha256))
        memory = Memory(anonymous=ROWS * dim * 4, mapped=8 * ROWS)
        shards = (Shard(rows=ROWS, files=tuple(files), memory=memory),)
        publish(store, _manifest((name, index_id, version, dim), shards))
    return found


def _manifest(about: tuple[str, str, str, int], shards: tuple[Shard, ...]) -> Manifest:
    label, index_id, version, dim = about
    return Manifest(
        format=format_of(shards), label=label, index_id=index_id, created=datetime.now(UTC).isoformat(timespec="seconds"),
        descriptor=Descriptor(version=version, dim=dim), count=ROWS, recipe="exact", parameters={}, point=Point(0, 0),
        points=(), quality={}, delta_seq=0, watermark=None, shards=shards, seed=1, versions={}, forced=False,
        rejects={"count": 0}, content_digest=content_digest("exact", {}, Point(0, 0), shards),
    )  # fmt: skip
