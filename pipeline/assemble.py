"""Stage assemble: the files of a shard, streamed from what the partitions left."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipeline.artifact import File, Ids, Manifest, index_prefix
from pipeline.plan import EXACT_BUILT_UP_TO, Candidate
from pipeline.published import provisional_manifest
from pipeline.sample import candidates
from pipeline.search.assembly import Model, RowCoder, coded_index
from pipeline.search.index import Index
from pipeline.search.opening import open_index
from pipeline.stage import Item
from pipeline.train import cells_key, codebook_key, coded, row_coder
from pipeline.transform import Transform
from pipeline.workspace import Work

SHARD = "shards/0000/"


def files(work: Work) -> Iterable[Item]:
    """The shard's names and re-ranking rows, which candidates share, then the index file of each candidate."""
    yield Item("ids", "ids")
    if work.census()["people"]:
        yield Item("people", "people")
    if coded(work):
        yield Item("vectors", "vectors")
    for candidate in candidates(work):
        if built_ahead(work, candidate):
            yield Item(candidate.name, candidate.name)


def built_ahead(work: Work, candidate: Candidate) -> bool:
    """Whether a candidate is assembled before the decision.

    The exact index of a long list is a copy of it, and exact by definition: it waits until it is chosen.
    """
    return candidate.recipe != "exact" or candidate.rows <= EXACT_BUILT_UP_TO or len(candidates(work)) == 1


def assemble(work: Work, what: str) -> int:
    """Write one file of the shard and note its checksum."""
    home = index_prefix(work.spec.label, work.spec.index_id) + SHARD
    if what in ("ids", "people"):
        written = work.bucket.write(home + f"{what}.dat", Ids.concatenate(_names(work, what)))
    elif what == "vectors":
        written = work.bucket.write_from(home + "vectors.dat", _stored(work))
    elif what == "exact":
        written = work.bucket.write_from(candidate_key(work, what), _exact(work))
    else:
        written = work.bucket.write(candidate_key(work, what), _coded(work, what))
    work.save_json(f"assembled/{what}.json", asdict(written))
    return work.total()


def candidate_key(work: Work, name: str) -> str:
    """Where a candidate's index file waits for the decision."""
    return f"{work.prefix}candidates/{name}/index.dat"


def _names(work: Work, what: str) -> Iterator[Ids]:
    for number in range(work.partitions()):
        names = Ids.open(work.read(f"{what}/{number:05d}.ids"))
        kept = work.kept(number)
        yield names if kept is None else names.select(kept)


def _stored(work: Work) -> Iterator[memoryview]:
    yield memoryview(row_coder(work).header(work.total()))
    for number in range(work.partitions()):
        yield work.load(f"vectors/{number:05d}.npy").data.cast("B")


def _exact(work: Work) -> Iterator[memoryview]:
    coder = RowCoder("float16", work.spec.dim, np.empty(0, np.float32))
    yield memoryview(coder.header(work.total()))
    for number in range(work.partitions()):
        yield np.ascontiguousarray(work.rows(number)).data.cast("B")


def _coded(work: Work, name: str) -> memoryview:
    parameters = next(one for one in candidates(work) if one.name == name).parameters
    bits, count = parameters["bits"], parameters.get("nlist")
    centroids = work.load(cells_key(count)) if count else np.zeros((1, parameters["out"]), np.float32)
    model = Model(Transform.load(work).matrix, np.ascontiguousarray(work.load(codebook_key(bits))), centroids)
    codes = np.concatenate([work.load(key) for key in work.keys(f"codes/{bits}bit/")])
    cells = np.concatenate([work.load(key) for key in work.keys(f"cells/{count}/")]) if count else None
    return coded_index(model, cells, codes).data


def shard_files(work: Work, name: str) -> tuple[File, ...]:
    """The files of the shard if this candidate is chosen; keys relative to the index's folder."""
    shared = ["ids"] + ["people"] * bool(work.census()["people"]) + ["vectors"] * (name != "exact")
    found = [File(**work.load_json(f"assembled/{what}.json")) for what in [*shared, name]]
    names = [f"{what}.dat" for what in shared] + ["index.dat"]
    return tuple(File(SHARD + key, one.nbytes, one.sha256) for key, one in zip(names, found, strict=True))


@contextmanager
def open_candidate(work: Work, name: str) -> Iterator[Index]:
    """The assembled candidate, opened from a folder of its own that is removed afterwards."""
    manifest: Manifest = provisional_manifest(work, name, shard_files(work, name))
    home = index_prefix(work.spec.label, work.spec.index_id)
    with tempfile.TemporaryDirectory(prefix="lim-") as folder:
        for file in manifest.shards[0].files:
            key = candidate_key(work, name) if file.key.endswith("index.dat") else home + file.key
            work.bucket.download(key, Path(folder) / Path(file.key).name, expect=file)
        index = open_index(Path(folder), manifest)
        try:
            yield index
        finally:
            index.close()
