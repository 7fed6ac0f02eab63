"""Builds that have come as far as stage plan, so that tests may train on their sample in several ways."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import numpy as np

from configs.settings import Build, Settings, Storage
from pipeline.artifact import open_store
from pipeline.build import begin, make_spec, run_stage
from pipeline.clustering.projected import Learned, Projected
from pipeline.clustering.sampled import groups
from pipeline.generate.faces import Generator
from pipeline.order import Order
from pipeline.progress import Lines
from pipeline.stage import Item, Runner, Stage, serial
from pipeline.stages import BUILD
from pipeline.train import train
from pipeline.workspace import Work

OUT = 96
"""Components that are projected."""


def planned(folder: Path, regime: str, rows: int, **fields: object) -> Work:
    """The work folder of a build whose sample was taken, in `folder`, which keeps it."""
    made, _, _ = Generator(regime, 5).chunk(0, rows)
    np.save(folder / "rows.npy", made)
    settings = Settings(storage=Storage(bucket=str(folder / "bucket")), build=Build(**{"recipe": "scan", **fields}))
    store = open_store(settings.storage.bucket, settings.storage)
    work = Work(store, begin(store, make_spec(Order(str(folder / "rows.npy"), "list"), settings)))
    for stage in BUILD[: [one.name for one in BUILD].index("plan") + 1]:
        run_stage(stage, work, serial, Lines())
    for group in groups(work):
        Projected(group.number, OUT).run(work)
    return work


def done(work: Work, items: Iterable[Item], runner: Runner = serial) -> list[Item]:
    """Run items of stage train, wave by wave."""
    every = sorted(items, key=lambda item: item.wave)
    assert len({item.key for item in every}) == len(every)
    for _, wave in groupby(every, key=lambda item: item.wave):
        runner(Stage("train", train), work, list(wave), lambda _: None)
    return every


def rows_of(work: Work, learned: Learned) -> np.ndarray:
    """What is learned from, in one piece."""
    return np.concatenate(list(learned.parts(work)))
