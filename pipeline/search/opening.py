"""Opening a shard from a local folder."""

from __future__ import annotations

from pathlib import Path

from pipeline.artifact import ArtifactCorrupt, Ids, Manifest
from pipeline.search.coded import Coded
from pipeline.search.coded_read import CodedRead
from pipeline.search.exact import Exact
from pipeline.search.index import Index, Opened


def open_index(
    folder: Path, manifest: Manifest, shard: int = 0, *, device: str = "cpu", most_mapped: int | None = None
) -> Index:
    """Open shard `shard` of the index that `manifest` describes, whose files lie in `folder`.

    `device` is `cpu`, `auto` (a GPU where one answers that can hold and search this index, else the
    CPU, with a line in the log) or `gpu` (the same, but ConfigError when there is no GPU at all).
    Rows that re-rank are mapped, since mapped pages are the kernel's to drop; yet they count as memory of the process,
    so that a worker with a limit has files of more than `most_mapped` bytes read instead, row by row, which takes longer.
    The files are trusted to be those of the manifest: the cache compared their checksums.
    Raises ArtifactCorrupt for a file that is not what the recipe needs, ArtifactMissing for none.
    """
    ids = Ids.open(folder / "ids.dat")
    rows = manifest.shards[shard].rows
    if len(ids) != rows:
        raise ArtifactCorrupt(f"ids.dat: expected {rows} ids, got {len(ids)}")
    people = folder / "people.dat"
    opened = Opened(manifest, shard, ids, Ids.open(people) if people.exists() else None)
    if device != "cpu":
        from pipeline.search.on_gpu import open_on_gpu  # here, so that a matcher on a CPU never loads it

        on_gpu = open_on_gpu(opened, folder, device)
        if on_gpu is not None:
            return on_gpu
    if manifest.recipe == "exact":
        return Exact(opened, folder / "index.dat")
    if manifest.recipe in ("scan", "cells", "ivfpq"):
        vectors = folder / "vectors.dat"
        if most_mapped is not None and vectors.exists() and vectors.stat().st_size > most_mapped:
            return CodedRead(opened, folder / "index.dat", vectors)
        return Coded(opened, folder / "index.dat", vectors)
    raise ArtifactCorrupt(f"meta.json: expected the recipe exact, scan, cells or ivfpq, got {manifest.recipe!r}")
