"""Stage assemble: the files of every shard, streamed from what the partitions left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from pipeline.artifact import File, index_prefix
from pipeline.plan import EXACT_BUILT_UP_TO
from pipeline.recipes.candidate import Candidate
from pipeline.recipes.known import recipe_of
from pipeline.recipes.models import Stored
from pipeline.row_names import names
from pipeline.sample import candidates
from pipeline.sharding import Extent, extents, pieces
from pipeline.stage import Item
from pipeline.train import models
from pipeline.workspace import Work


@dataclass(frozen=True, slots=True)
class Part:
    """One file of one shard."""

    what: str
    """`ids`, `people`, `vectors` or `index`."""
    owner: str
    """The candidate that it is of; empty for names and rows that all candidates with codes share."""
    shard: int

    @property
    def name(self) -> str:
        """For task keys and for the work folder."""
        return "-".join([self.owner] * bool(self.owner) + [self.what] * (self.what != "index") + [f"{self.shard:04d}"])

    @property
    def published(self) -> str:
        """Its key in the folder of the index, if it is published."""
        return f"shards/{self.shard:04d}/{self.what}.dat"


def files(work: Work) -> Iterable[Item]:
    """Every file of every candidate that is not left for later, each once; names and rows before indexes."""
    wanted = {part.name: part for one in candidates(work) if built_ahead(work, one) for part in parts(work, one)}
    for part in sorted(wanted.values(), key=lambda one: (one.what == "index", one.name)):
        yield Item(part.name, part)


def parts(work: Work, candidate: Candidate) -> Iterator[Part]:
    """The files of a candidate, a shard after the other."""
    owner = candidate.name if candidate.shards != _main(work) else ""
    shared = ["ids"] + ["people"] * bool(work.census()["people"]) + ["vectors"] * (candidate.recipe != "exact")
    for shard in range(candidate.shards):
        yield from (Part(what, owner, shard) for what in shared)
        yield Part("index", candidate.name, shard)


def _main(work: Work) -> int:
    """The number of shards whose names and rows are written where they will be published."""
    every = candidates(work)
    return next((one.shards for one in every if one.recipe != "exact"), every[0].shards)


def built_ahead(work: Work, candidate: Candidate) -> bool:
    """Whether a candidate is assembled before the decision.

    The exact index of a long list is a copy of it, and exact by definition: it waits until it is chosen.
    """
    return candidate.recipe != "exact" or candidate.rows <= EXACT_BUILT_UP_TO or len(candidates(work)) == 1


def assemble(work: Work, part: Part) -> int:
    """Write one file of a shard, then note its checksum."""
    extent = extent_of(work, part)
    if part.what in ("ids", "people"):
        chunks = names(work, part.what, extent)
    elif part.what == "vectors" and (form := stored(work)) is not None:
        chunks = _stored(work, form, extent)
    else:
        chosen = candidate_named(work, part.owner)
        chunks = recipe_of(chosen).index_file(work, chosen, extent)
    written = work.bucket.write_from(key_of(work, part), chunks)
    work.save_json(f"assembled/{part.name}.json", asdict(written))
    return extent.rows


def assemble_all(work: Work, candidate: Candidate) -> None:
    """Write those files of a candidate that are not there yet."""
    there = set(work.keys("assembled/"))
    for part in parts(work, candidate):
        if f"assembled/{part.name}.json" not in there:
            assemble(work, part)


def extent_of(work: Work, part: Part) -> Extent:
    """The rows of a file."""
    shards = candidate_named(work, part.owner).shards if part.owner else _main(work)
    return extents(work.total(), shards)[part.shard]


def candidate_named(work: Work, name: str) -> Candidate:
    """The candidate of this name."""
    return next(one for one in candidates(work) if one.name == name)


def key_of(work: Work, part: Part) -> str:
    """Where a file lies until the decision: what candidates share in its last place, the others in the work folder."""
    if not part.owner:
        return index_prefix(work.spec.label, work.spec.index_id) + part.published
    return f"{work.prefix}candidates/{part.owner}/{part.shard:04d}/{part.what}.dat"


def stored(work: Work) -> Stored | None:
    """How re-ranking rows are stored, if any candidate has them."""
    return next((model for model in models(work) if isinstance(model, Stored)), None)


def _stored(work: Work, form: Stored, extent: Extent) -> Iterator[memoryview]:
    yield memoryview(form.coder(work).header(extent.rows))
    for piece in pieces(work.census()["kept"], extent):
        whole = form.partition(work, piece.partition)
        width = len(whole) // work.census()["kept"][piece.partition]
        yield whole[piece.rows.start * width : piece.rows.stop * width]


def assembled(work: Work, candidate: Candidate) -> list[tuple[Part, File]]:
    """The files of a candidate, with keys as they are published, in the order of shards."""
    found = []
    for part in parts(work, candidate):
        noted = File(**work.load_json(f"assembled/{part.name}.json"))
        found.append((part, File(part.published, noted.nbytes, noted.sha256)))
    return found
