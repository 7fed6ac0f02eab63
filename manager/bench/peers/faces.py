"""The vectors of a regime with the probes to ask for: made once, then kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from configs.settings import Quality, Settings
from manager.bench.peers.engine import BLOCK, Halves
from manager.bench.peers.kept_probes import keep
from pipeline.generate.faces import Generator
from pipeline.generate.making import gallery, made
from pipeline.generate.regimes import REGIMES
from pipeline.quality.drawing import labelled_gallery, non_mates, pseudo_mates
from pipeline.quality.noise import shipped
from pipeline.quality.persons import Persons
from pipeline.quality.probes import Chosen, ProbeSet, joined
from pipeline.sources.opening import open_source
from pipeline.sources.rows import joined as one_after_another

FACES = "faces"
"""Regime of a file that is given."""

LAYOUT = 1
"""Of what is kept; another layout has another key."""

SAMPLE_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Wanted:
    """The vectors of one regime."""

    regime: str
    rows: int
    """0 = all of the source."""
    source: str
    quality: Quality
    seed: int = 1

    def key(self, fingerprint: str) -> str:
        """Name of the folder: what the vectors and probes depend on."""
        asked = [self.quality.mated_probes, self.quality.non_mates, self.quality.k]
        said = [self.rows, self.source, self.seed, asked, fingerprint, LAYOUT]
        return f"{self.regime}-{hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]}"


def fingerprint(wanted: Wanted, settings: Settings) -> str:
    """What changes when the source does; empty for made-up people."""
    if not wanted.source:
        return ""
    return open_source(wanted.source, settings.source, settings.images, settings.storage).listing().fingerprint


def prepare(wanted: Wanted, settings: Settings, folder: Path) -> None:
    """Write `gallery.npy`, its names beside it, `persons.npy` and `probes.npz`; `planning.npy` for made-up people.

    `planning.npy` holds the choosing half and as many further people, with whom `lim build` plans and gates,
    so that nobody of our gating half had a say in anybody's choice.
    """
    if wanted.regime in REGIMES:
        _make(wanted, folder)
    else:
        _read(wanted, settings, folder)


def _make(wanted: Wanted, folder: Path) -> None:
    generator, random = Generator(wanted.regime, wanted.seed), np.random.default_rng([wanted.seed, 7])
    rows = _empty(folder, wanted.rows, generator.dim)
    ids: list[str] = []
    people: list[str] = []
    for some in gallery(generator, wanted.rows):
        rows[len(ids) : len(ids) + len(some.ids)] = some.descriptors
        ids += some.ids
        people += some.people
    _names(folder / "gallery", ids, people)
    half = min(wanted.quality.mated_probes, wanted.rows // 3)
    asked = random.permutation(wanted.rows)[: 3 * half]
    photos = next(iter(made(generator, [asked], 1, 1)))
    planning = slice(0, 2 * half)
    np.save(folder / "planning.npy", photos.descriptors[planning])
    _names(folder / "planning", photos.ids[planning], photos.people[planning])
    ours = np.r_[0:half, 2 * half : 3 * half]  # choosing half first: `joined` cuts in the middle
    persons = Persons(np.arange(wanted.rows, dtype=np.int32), wanted.rows)
    queries = np.ascontiguousarray(photos.descriptors[ours], np.float32)
    mates = Chosen(queries, persons.of(asked[ours]), np.full(2 * half, -1), f"{2 * half:,} second photos, made")
    _save(wanted, folder, rows, persons, mates)


def _read(wanted: Wanted, settings: Settings, folder: Path) -> None:
    source = open_source(wanted.source, settings.source, settings.images, settings.storage)
    dim = source.listing().dim
    read = one_after_another((source.read(part) for part in source.partitions(BLOCK)), dim)
    count = min(wanted.rows or len(read.ids), len(read.ids))
    rows = _empty(folder, count, dim)
    rows[:] = read.descriptors[:count]
    codes: dict[str, int] = {"": -1}
    known = [codes.setdefault(name, len(codes) - 1) for name in (read.people or [""] * count)[:count]]
    _names(folder / "gallery", [str(name) for name in read.ids[:count]], read.people[:count] if read.people else None)
    persons, random = Persons(np.array(known, np.int32), count), np.random.default_rng([wanted.seed, 7])
    own = labelled_gallery(persons, 2 * wanted.quality.mated_probes, random)
    if len(own):
        said = f"{len(own):,} labelled rows of the list itself, each without its own row"
        mates = Chosen(np.ascontiguousarray(rows[own], np.float32), persons.of(own), own, said)
    else:
        mates = _pseudo(wanted, rows, persons, random)
    _save(wanted, folder, rows, persons, mates)


def _pseudo(wanted: Wanted, rows: Halves, persons: Persons, random: np.random.Generator) -> Chosen:
    count, total = 2 * wanted.quality.mated_probes, len(rows)
    chosen = random.choice(total, count, replace=count > total)
    sample = rows[np.sort(random.choice(total, min(SAMPLE_ROWS, total), replace=False))].astype(np.float32)
    noise = shipped(sample)
    queries = pseudo_mates(rows[chosen].astype(np.float32), noise.cosines(count, random), noise.shape, random)
    return Chosen(queries, persons.of(chosen), np.full(count, -1), f"{count:,} pseudo-mates (a model)", drawn=True)


def _save(wanted: Wanted, folder: Path, rows: Halves, persons: Persons, mates: Chosen) -> None:
    mates = _choosing_first(mates)
    strangers = non_mates(persons, 2 * wanted.quality.non_mates, np.random.default_rng([wanted.seed, 8]))
    said = f"{len(strangers):,} rows of the list itself, each without the rows of its person"
    queries = np.ascontiguousarray(rows[strangers], np.float32)
    others = Chosen(queries, persons.of(strangers), strangers, said)
    probes: ProbeSet = joined(mates, others, persons)
    keep(folder, probes)
    np.save(folder / "queries.npy", probes.queries[: len(mates.own)])
    np.save(folder / "persons.npy", persons.known if persons.known is not None else np.empty(0, np.int32))
    rows.flush()  # type: ignore[attr-defined]


def _choosing_first(mates: Chosen) -> Chosen:
    """The same probes and halves, each half in one piece."""
    order = np.argsort(mates.half(), kind="stable")
    parts = (np.ascontiguousarray(mates.queries[order]), mates.person[order], mates.own[order])
    return Chosen(*parts, mates.origin, mates.drawn)


def _empty(folder: Path, rows: int, dim: int) -> Halves:
    return np.lib.format.open_memmap(folder / "gallery.npy", "w+", np.float16, (rows, dim))


def _names(stem: Path, ids: list[str], people: list[str] | None) -> None:
    np.save(f"{stem}.id.npy", np.array(ids, "S"))
    if people is not None:
        np.save(f"{stem}.person.npy", np.array(people, "S"))
