"""Makes the probe set of a build: labelled photos where there are any, stated pseudo-mates otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.clustering.sampled import whole_sample
from pipeline.errors import BuildError
from pipeline.quality.arrays import Floats, Numbers
from pipeline.quality.bounds import needed
from pipeline.quality.calibration import calibrated
from pipeline.quality.drawing import labelled_gallery, non_mates, pseudo_mates
from pipeline.quality.grouping import PERSON
from pipeline.quality.noise import shipped
from pipeline.quality.persons import Persons
from pipeline.quality.probe_file import from_file
from pipeline.quality.probes import Chosen, ProbeSet, joined
from pipeline.workspace import Work

NOISE = "noise.json"
"""Key of the model of made mates in the work folder, in numbers, where mates are made."""

LABELLED = "labelled rows of the list itself: {} whose person has others, each without its own row"
PSEUDO = "pseudo-mates (a model, not photos): u = c m + sqrt(1 - c²) w for {rows:,} rows m of the list; {source}; c is {mean:.3f} ± {spread:.3f}"
UNUSED = "; {}, which made mates would be fitted to, is not used, since there are real ones"
GALLERY = "{} rows of the list itself, each without its own row and the known rows of its person"


def make(work: Work) -> ProbeSet:
    """Two halves of mated and non-mated probes, from the spec's seed.  Raises BuildError for a file of strangers.

    Likewise where candidates shall be people and the list names none, and for a calibration of too few pairs.
    """
    quality, generator = work.spec.quality, np.random.default_rng([work.spec.build.seed, 1])
    persons = gallery_persons(work)
    if quality.group_by == PERSON and persons.known is None:
        raise BuildError(
            f"quality.group_by: expected people in {work.spec.source_url}, got no column {work.spec.source.person_column!r}: "
            "name it by source.person_column, or leave the setting out"
        )
    if work.spec.probes_url:
        mates, strangers = from_file(work, generator)
    else:
        strangers, own = None, labelled_gallery(persons, 2 * quality.mated_probes, generator)
        # few labelled pairs cannot prove the target, but they are real: pseudo-mates only where there are none
        mates = _of_gallery(work, persons, own, LABELLED) if len(own) else _pseudo(work, persons, generator)
    if not mates.drawn and work.spec.build.calibration:
        mates = replace(mates, origin=mates.origin + UNUSED.format(work.spec.build.calibration))
    if strangers is None:
        numbers = non_mates(persons, 2 * quality.non_mates, generator)
        strangers = _of_gallery(work, persons, numbers, GALLERY)
    return joined(mates, strangers, persons)


def gallery_persons(work: Work) -> Persons:
    """Who the rows of the gallery are."""
    return Persons(work.people(), work.total())


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


def _of_gallery(work: Work, persons: Persons, own: Numbers, origin: str) -> Chosen:
    return Chosen(gallery_rows(work, own), persons.of(own), own, origin.format(f"{len(own):,}"))


def _pseudo(work: Work, persons: Persons, generator: np.random.Generator) -> Chosen:
    """As many as are wanted, and at least as many as can prove the target; a short list gives its rows repeatedly."""
    quality, total = work.spec.quality, persons.total
    wanted = 2 * max(quality.mated_probes, needed(quality.added_fnir, quality.confidence))
    chosen = generator.choice(total, wanted, replace=wanted > total)
    is_given = bool(work.spec.build.calibration)
    noise = calibrated(work, generator) if is_given else shipped(whole_sample(work))
    cosine = noise.cosines(wanted, generator)
    made = pseudo_mates(gallery_rows(work, chosen), cosine, noise.shape, generator)
    work.save_json(NOISE, noise.told(cosine))
    origin = PSEUDO.format(rows=wanted, source=noise.source, mean=cosine.mean(), spread=cosine.std())
    return Chosen(made, persons.of(chosen), np.full(wanted, -1, np.int64), origin, drawn=True)
