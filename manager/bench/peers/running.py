"""Runs the engines through the regimes, one regime after the other."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from configs.load import Loaded
from manager.bench.peers.engine import Site
from manager.bench.peers.exam import Exam, find_truth
from manager.bench.peers.faces import Wanted, fingerprint, prepare
from manager.bench.peers.measuring import Subject, Told, measured
from manager.bench.peers.results import Result
from manager.bench.peers.shown import Screen, last_words
from manager.bench.peers.turns import take_turns
from manager.embedded.settings_file import settings_text, write_private


@dataclass(frozen=True, slots=True)
class How:
    """What holds for every regime."""

    engines: tuple[str, ...]
    limit_s: float
    repeats: int
    seconds: float
    work: Path


def run(wanted: Wanted, how: How, loaded: Loaded, screen: Screen) -> list[Result]:
    """The results of all engines in one regime; every process has ended."""
    data = _data(wanted, how.work, loaded, screen.line(f"{wanted.regime}: data"))
    settings = data / "lim.toml"
    write_private(settings, settings_text(loaded, {}))
    exam = Exam(data, loaded.settings.quality)
    subjects: list[Subject] = []
    try:
        lines = {name: screen.line(f"{wanted.regime}: {name}") for name in how.engines}
        for name in how.engines:
            site = Site(str(data / "engines"), str(data), os.cpu_count() or 1, str(settings))
            result = Result(wanted.regime, name, exam.rows)
            subjects.append(Subject(name, exam, site, how.limit_s, lines[name], result))
            measured(subjects[-1])
            lines[name].ended(last_words(result))
        take_turns(subjects, how.repeats, how.seconds)
        for one in subjects:
            lines[one.name].ended(last_words(one.result))
    finally:
        for one in subjects:
            one.close()
    return [one.result for one in subjects]


def _data(wanted: Wanted, work: Path, loaded: Loaded, told: Told) -> Path:
    """The folder of the regime's vectors, probes and exact answers; made unless an earlier run has left it whole."""
    folder = work / wanted.key(fingerprint(wanted, loaded.settings))
    done = folder / "data.json"
    if done.exists():
        told.doing("of an earlier run", 1, 1)
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    told.doing("making vectors")
    prepare(wanted, loaded.settings, folder)
    seconds = find_truth(folder, wanted.quality, _exact(told))
    done.write_text(json.dumps({"truth_s": seconds}))  # last: a folder without it is made again
    return folder


def _exact(told: Told) -> Callable[[int, int], None]:
    return lambda rows, of: told.doing("exact search", rows, of)
