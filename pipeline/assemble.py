"""Stage assemble: the files of a shard, streamed from what the partitions left."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from pipeline.artifact import File, Ids, Manifest, index_prefix
from pipeline.plan import EXACT_BUILT_UP_TO
from pipeline.published import provisional_manifest
from pipeline.recipes.candidate import Candidate
from pipeline.recipes.known import recipe_of
from pipeline.recipes.models import Stored
from pipeline.sample import candidates
from pipeline.search.index import Index
from pipeline.search.opening import open_index
from pipeline.stage import Item
from pipeline.train import models
from pipeline.workspace import Work

SHARD = "shards/0000/"


def files(work: Work) -> Iterable[Item]:
    """The shard's names and re-ranking rows, which candidates share, then the index file of each candidate."""
    yield Item("ids", "ids")
    if work.census()["people"]:
        yield Item("people", "people")
    if stored(work):
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
    elif what == "vectors" and (form := stored(work)) is not None:
        written = work.bucket.write_from(home + "vectors.dat", _stored(work, form))
    else:
        chosen = next(one for one in candidates(work) if one.name == what)
        written = work.bucket.write_from(candidate_key(work, what), recipe_of(chosen).index_file(work, chosen))
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


def stored(work: Work) -> Stored | None:
    """How re-ranking rows are stored, if any candidate has them."""
    return next((model for model in models(work) if isinstance(model, Stored)), None)


def _stored(work: Work, form: Stored) -> Iterator[memoryview]:
    yield memoryview(form.coder(work).header(work.total()))
    for number in range(work.partitions()):
        yield form.partition(work, number)


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
