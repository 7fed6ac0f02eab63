"""Makes the probe set of a build: labelled photos where there are any, stated pseudo-mates otherwise."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from pipeline.artifact import Ids
from pipeline.errors import BuildError
from pipeline.quality.arrays import Floats, Numbers, People
from pipeline.quality.probes import ProbeSet, halves, labelled_gallery, needed, non_mates, pseudo_mates
from pipeline.sample import whole_sample
from pipeline.sources.opening import open_source
from pipeline.workspace import Work

PSEUDO = (
    "pseudo-mates: c m + sqrt(1 - c²) w for gallery rows m; c the product of two draws from LFW's quantile function of a "
    "photo's cosine to its person, w the difference of two random rows of this list, made orthogonal to m"
)


def make(work: Work) -> ProbeSet:
    """Two halves of mated and non-mated probes, from the spec's seed."""
    quality, generator = work.spec.quality, np.random.default_rng([work.spec.build.seed, 1])
    people = gallery_people(work)
    wanted, least = 2 * quality.mated_probes, 2 * needed(quality.added_fnir, quality.confidence)
    if work.spec.probes_url:
        mates = _from_file(work, wanted, generator)
    else:
        own = labelled_gallery(people, wanted, generator)
        # few labelled pairs cannot prove the target, but they are real: pseudo-mates only where there are none
        mates = _of_gallery(work, own, people) if len(own) else _pseudo(work, max(wanted, least), people, generator)
    others = non_mates(people, 2 * quality.non_mates, generator)
    return _joined(mates, _of_gallery(work, others, people))


def gallery_people(work: Work) -> People:
    """Person code per gallery row (total,); a row of unknown person is a person of its own."""
    known = work.people()
    if known is None:
        return np.arange(work.total(), dtype=np.int32)
    alone = np.flatnonzero(known < 0)
    codes = known.copy()
    codes[alone] = np.arange(len(alone)) + (known.max() + 1)
    return codes


def gallery_rows(work: Work, numbers: Numbers) -> Floats:
    """Rows (n, d) float32 of the gallery by internal number, a partition at a time."""
    out = np.empty((len(numbers), work.spec.dim), np.float32)
    first = 0
    for part, count in enumerate(work.census()["kept"]):
        here = np.flatnonzero((numbers >= first) & (numbers < first + count))
        if len(here):
            out[here] = work.rows(part)[numbers[here] - first]
        first += count
    return out


def _of_gallery(work: Work, own: Numbers, people: People) -> ProbeSet:
    return _set(gallery_rows(work, own), own, people[own], "labelled rows of the list itself, each without its own row")


def _pseudo(work: Work, wanted: int, people: People, generator: np.random.Generator) -> ProbeSet:
    total = work.total()
    chosen = generator.choice(total, wanted, replace=wanted > total)
    with files("pipeline.generate").joinpath("data/generator_mixture.npz").open("rb") as stream:
        quantiles = np.load(stream)["q"]
    made = pseudo_mates(gallery_rows(work, chosen), whole_sample(work).astype(np.float32), quantiles, generator)
    return _set(made, np.full(wanted, -1, np.int64), people[chosen], PSEUDO)


def _from_file(work: Work, wanted: int, generator: np.random.Generator) -> ProbeSet:
    spec = work.spec
    source = open_source(spec.probes_url, spec.source, spec.images, spec.storage)
    codes = people_codes(work)
    queries, people = [], []
    for part in source.partitions(spec.build.partition_rows):
        rows = source.read(part)
        for number, person in enumerate(rows.people or ()):
            if person in codes:
                queries.append(rows.descriptors[number])
                people.append(codes[person])
    if not queries:
        raise BuildError(
            f"{spec.probes_url}: expected probes of people in {spec.source_url}, got none: both need the column "
            f"{spec.source.person_column!r} with the same names"
        )
    order = generator.permutation(len(queries))[:wanted]
    rows_of = np.ascontiguousarray(np.stack(queries)[order], np.float32)
    return _set(
        rows_of,
        np.full(len(order), -1, np.int64),
        np.array(people, np.int32)[order],
        f"labelled photos of {spec.probes_url}",
    )


def people_codes(work: Work) -> dict[str, int]:
    """Code of each person by name."""
    codes = work.people()
    if codes is None:
        return {}
    found: dict[str, int] = {}
    first = 0
    for number, count in enumerate(work.census()["kept"]):
        names, kept = Ids.open(work.read(f"people/{number:05d}.ids")), work.kept(number)
        names = names if kept is None else names.select(kept)
        found |= {
            str(name): int(code) for name, code in zip(names, codes[first : first + count], strict=True) if code >= 0
        }
        first += count
    return found


def _set(queries: Floats, own: Numbers, person: People, origin: str) -> ProbeSet:
    count = len(queries)
    return ProbeSet(queries, np.ones(count, bool), halves(count), own, person.astype(np.int32), origin)


def _joined(mated: ProbeSet, others: ProbeSet) -> ProbeSet:
    return ProbeSet(
        queries=np.concatenate([mated.queries, others.queries]),
        mated=np.concatenate([mated.mated, np.zeros(len(others.mated), bool)]),
        half=np.concatenate([mated.half, others.half]),
        own=np.concatenate([mated.own, others.own]),
        person=np.concatenate([mated.person, others.person]),
        origin=mated.origin,
    )
