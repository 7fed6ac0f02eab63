"""A small manifest and a head, complete and consistent."""

from __future__ import annotations

from pipeline.artifact import Descriptor, File, Head, Manifest, Memory, Point, Segment, Shard, content_digest

SHARD = Shard(
    rows=2,
    files=(File.of("shards/0000/index.dat", b"index"), File.of("shards/0000/ids.dat", b"ids")),
    memory=Memory(anonymous=5, mapped=3),
)


def manifest_of(label: str = "people", index_id: str = "one") -> Manifest:
    parameters = {"cells": 16, "pq": [64, 8]}
    return Manifest(
        format=1,
        label=label,
        index_id=index_id,
        created="2026-01-02T03:04:05+00:00",
        descriptor=Descriptor(version="59", dim=512),
        count=2,
        recipe="cells",
        parameters=parameters,
        point=Point(4, 32),
        points=({"nprobe": 4, "recall": 0.999},),
        quality={"added_fnir": 0.0005},
        delta_seq=0,
        watermark=None,
        shards=(SHARD,),
        seed=1,
        versions={"faiss": "1.15"},
        content_digest=content_digest("cells", parameters, Point(4, 32), (SHARD,)),
        forced=False,
        rejects={"count": 0},
    )


HEAD = Head(
    label="people",
    index_id="one",
    previous=("zero",),
    fences={"build": 3},
    segments=(Segment(key="delta/1", first=1, last=9, sha256="ab"),),
)
