"""Makes the probe set of a build: labelled photos where there are any, stated pseudo-mates otherwise."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from pipeline.quality.arrays import Floats, Numbers
from pipeline.quality.bounds import needed
from pipeline.quality.drawing import cosines, labelled_gallery, noise_shape, non_mates, pseudo_mates
from pipeline.quality.persons import Persons
from pipeline.quality.probe_file import from_file
from pipeline.quality.probes import Chosen, ProbeSet, joined
from pipeline.sample import whole_sample
from pipeline.workspace import Work

QUANTILES = "generator_mixture.npz"
"""Shipped parameters whose `q` is the quantile function of a photo's cosine to its person's centre, fitted to LFW."""

LABELLED = "labelled rows of the list itself: {} whose person has others, each without its own row"
PSEUDO = (
    "pseudo-mates (a model, not photos): u = c m + sqrt(1 - c²) w for {rows:,} rows m of the list; c is the product of two "
    "draws from LFW's quantile function of a photo's cosine to its person, {mean:.3f} ± {spread:.3f}; w is normal noise with "
    "the covariance of {sample:,} sampled rows, made orthogonal to m and normalised"
)
GALLERY = "{} rows of the list itself, each without its own row and the known rows of its person"


def make(work: Work) -> ProbeSet:
    """Two halves of mated and non-mated probes, from the spec's seed.  Raises BuildError for a file of strangers."""
    quality, generator = work.spec.quality, np.random.default_rng([work.spec.build.seed, 1])
    persons = gallery_persons(work)
    if work.spec.probes_url:
        mates, strangers = from_file(work, generator)
    else:
        strangers, own = None, labelled_gallery(persons, 2 * quality.mated_probes, generator)
        # few labelled pairs cannot prove the target, but they are real: pseudo-mates only where there are none
        mates = _of_gallery(work, persons, own, LABELLED) if len(own) else _pseudo(work, persons, generator)
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
    with files("pipeline.generate").joinpath(f"data/{QUANTILES}").open("rb") as stream:
        quantiles = np.load(stream)["q"]
    sample, cosine = whole_sample(work), cosines(wanted, quantiles, generator)
    made = pseudo_mates(gallery_rows(work, chosen), cosine, noise_shape(sample.astype(np.float32)), generator)
    origin = PSEUDO.format(rows=wanted, mean=cosine.mean(), spread=cosine.std(), sample=len(sample))
    return Chosen(made, persons.of(chosen), np.full(wanted, -1, np.int64), origin, drawn=True)
