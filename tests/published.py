"""Small indexes in a bucket, made in a moment: what a build would publish, without the build."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import (
    Descriptor,
    File,
    Ids,
    Manifest,
    Memory,
    Point,
    Shard,
    Store,
    content_digest,
    index_prefix,
    open_store,
    publish,
)
from pipeline.device.cpu import Cpu
from pipeline.device.threads import pinned
from pipeline.search.assembly import Model, RowCoder, coded_index
from pipeline.transform import Spectrum, moment

DIM = 64
VERSION = "62"


def bucket(folder: Path) -> Store:
    """A bucket in a folder that need not be there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    return open_store(str(folder))


def unit_rows(seed: int, count: int = 400, dim: int = DIM) -> NDArray[np.float16]:
    """Random unit vectors (count, dim) as a build stores them."""
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


@dataclass(frozen=True)
class Published:
    """An index in a bucket, with what it was made from."""

    manifest: Manifest
    rows: NDArray[np.float16]
    ids: tuple[str | int, ...]

    def truth(self, probes: NDArray[np.floating], k: int) -> tuple[NDArray[np.float32], list[list[str | int]]]:
        """Exact answers by NumPy over the stored rows: similarities (n, k), clipped to 0..1, with the ids."""
        wide = np.asarray(probes, np.float32)
        wide = wide / np.linalg.norm(wide, axis=1, keepdims=True)
        similarities = wide @ self.rows.astype(np.float32).T
        best = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
        return (
            np.clip(np.take_along_axis(similarities, best, axis=1), 0, 1),
            [[self.ids[number] for number in row] for row in best],
        )


def publish_index(
    store: Store, label: str, index_id: str, rows: NDArray[np.float16], *, ids: Sequence[str | int] | None = None,
    people: Sequence[str] | None = None, recipe: str = "exact", **changes: object,
) -> Published:  # fmt: skip
    """Write the files of an index, publish it; `changes` go into the manifest.  Ids begin with the index id."""
    names = tuple(ids if ids is not None else (f"{index_id}-{number}" for number in range(len(rows))))
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        (where / "ids.dat").write_bytes(bytes(Ids.encode(list(names))))
        if people is not None:
            (where / "people.dat").write_bytes(bytes(Ids.encode(list(people))))
        (_exact if recipe == "exact" else _scan)(where, rows)
        home = index_prefix(label, index_id)
        files = []
        for path in sorted(where.iterdir()):
            data = path.read_bytes()
            store.write(f"{home}shards/0000/{path.name}", data)
            files.append(File.of(f"shards/0000/{path.name}", data))
    memory = changes.pop("memory", 4 * rows.size)
    manifest = replace(_manifest(label, index_id, recipe, rows, tuple(files), int(memory)), **changes)  # type: ignore[arg-type,call-overload]
    publish(store, manifest)
    return Published(manifest, rows, names)


def _manifest(
    label: str, index_id: str, recipe: str, rows: NDArray[np.float16], files: tuple[File, ...], memory: int
) -> Manifest:
    point = Point(0, 0) if recipe == "exact" else Point(1, len(rows))
    shards = (Shard(rows=len(rows), files=files, memory=Memory(anonymous=memory, mapped=0)),)
    return Manifest(
        format=1, label=label, index_id=index_id, created="2026-01-01T00:00:00+00:00", recipe=recipe, parameters={},
        descriptor=Descriptor(version=VERSION, dim=rows.shape[1]), count=len(rows), point=point, points=(), quality={},
        delta_seq=0, watermark=None, shards=shards, seed=1, versions={}, forced=False, rejects={},
        content_digest=content_digest(recipe, {}, point, shards),
    )  # fmt: skip


def _exact(where: Path, rows: NDArray[np.float16]) -> None:
    coder = RowCoder("float16", rows.shape[1], np.empty(0, np.float32))
    (where / "index.dat").write_bytes(coder.header(len(rows)) + rows.tobytes())


def _scan(where: Path, rows: NDArray[np.float16]) -> None:
    """Codes that are searched whole, and every row is re-ranked: small as it is, the answers are exact."""
    wide, out = rows.astype(np.float32), rows.shape[1] // 2
    with pinned(1):
        transform = Spectrum.of(moment(rows), len(rows)).balanced(out, out // 2)
        projected = wide @ transform.matrix.T
        codebook = Cpu().train_codes(projected, out // 2, 4, seed=1)
        codes = Cpu().encode(projected, codebook)
        coder = RowCoder.train("float16", wide)
    model = Model(transform.matrix, codebook, np.zeros((1, out), np.float32))
    (where / "index.dat").write_bytes(coded_index(model, None, codes).tobytes())
    (where / "vectors.dat").write_bytes(coder.header(len(rows)) + coder.encode(wide).tobytes())
