"""Puts one engine through a regime: build, open, operating points, gate."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from manager.bench.peers.engine import Knobs, Site, Unavailable
from manager.bench.peers.exam import Exam
from manager.bench.peers.hosting import EngineFailed, Host, TookTooLong
from manager.bench.peers.judging import judge
from manager.bench.peers.memory import Memory
from manager.bench.peers.results import DID_NOT_FINISH, Result, Tried
from pipeline.quality.arrays import Lists, Numbers
from pipeline.quality.figures import Figures
from pipeline.quality.probes import CHOOSING, GATING

BLOCK = 1_024
"""Probes between looks at whether a point can still pass: whole batches of any size."""

START_S = 60.0
"""For an engine's process to start and to say what it would build."""


class Told:
    """Hears how far an engine is; does nothing."""

    def doing(self, what: str, done: int = 0, of: int = 0) -> None:
        """A step, with how much of it is done where that is known."""


@dataclass(slots=True)
class Subject:
    """An engine that is being measured."""

    name: str
    exam: Exam
    site: Site
    limit_s: float
    told: Told
    result: Result
    host: Host | None = None
    chooses: bool = False
    exact: bool = False
    until: float = 0.0

    @property
    def running(self) -> Host:
        """Its process."""
        if self.host is None:
            raise EngineFailed(f"{self.name}: expected a process, it has ended")
        return self.host

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Ask its process within what is left of its time."""
        return self.running.ask(do, max(self.until - time.monotonic(), 0.001), **arguments)

    def close(self) -> None:
        """End its process."""
        if self.host is not None:
            self.host.close()
            self.host = None


def measured(subject: Subject) -> Result:
    """The result, with the process left open for rounds where there is a chosen point.

    The limit holds for building with opening, for the points together, and for the gate: what is over it did
    not finish.  Points measured before time was over stand.
    """
    result = subject.result
    try:
        with _limited(subject):
            opened = _opened(subject)
        result.recipe, points, subject.exact = opened["recipe"], opened["points"], opened["exact"]
        try:
            with _limited(subject):
                _try(subject, points)
        except TookTooLong:
            if not result.tried:
                raise
            points = [one.point for one in result.tried]
            _reopen(subject)
        with _limited(subject):
            result.judged = judge(subject, result.tried, lambda point: _gate(subject, point))
            result.memory = Memory(**subject.ask("memory"))
        result.status = "ok"
    except Unavailable as error:
        result.status = str(error)
    except TookTooLong:
        result.status = f"{DID_NOT_FINISH} in {subject.limit_s:g} s"
    except EngineFailed as error:
        result.status = f"failed: {error}"
    if result.judged is None:
        subject.close()
    return result


@contextmanager
def _limited(subject: Subject) -> Iterator[None]:
    subject.until = time.monotonic() + subject.limit_s
    yield


def _opened(subject: Subject) -> dict[str, Any]:
    """Build in one process, open in another, whose memory then is that of the index alone."""
    result, log = subject.result, Path(subject.site.data, f"{subject.name}.log")
    subject.told.doing("starting")
    subject.host = Host(subject.name, subject.site, log)
    known = subject.host.ask("recipe", START_S)
    subject.chooses, result.recipe = known["chooses"], known["recipe"]
    digest = hashlib.sha256(known["recipe"].encode()).hexdigest()[:12]
    home = Path(subject.site.folder, f"{subject.name}-{digest}")
    if not known["kept"]:
        shutil.rmtree(home, ignore_errors=True)
    built = home / "built.json"
    if built.exists():
        result.build, result.from_earlier = json.loads(built.read_text()), True
    else:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        subject.told.doing("building")
        subject.close()
        subject.site = replace(subject.site, folder=str(home))
        subject.host = Host(subject.name, subject.site, log)
        result.build = subject.ask("build")
        built.write_text(json.dumps(result.build))  # last: an index without it is never taken for a whole one
    subject.site = replace(subject.site, folder=str(home))
    return _reopen(subject)


def _reopen(subject: Subject) -> dict[str, Any]:
    subject.close()
    subject.told.doing("opening")
    subject.host = Host(subject.name, subject.site, Path(subject.site.data, f"{subject.name}.log"))
    subject.until = max(subject.until, time.monotonic() + START_S)
    return subject.ask("open")


def _try(subject: Subject, points: list[Knobs]) -> None:
    """Measure points until one passes on the choosing half; what is dearer by the engine's own order can only be slower.

    All points of an engine whose points are not ordered by cost (batch sizes), or that has chosen by itself.
    """
    part = subject.exam.half(CHOOSING)
    for number, point in enumerate(points):
        label = f"point {number + 1} of {len(points)}"
        figures, seconds = _asked(subject, point, part, label)
        subject.result.tried.append(Tried(point, figures, seconds))
        if subject.exam.target.met(figures) and not subject.chooses and "batch" not in point:
            break


def _gate(subject: Subject, point: Knobs) -> Figures:
    part = subject.exam.half(GATING)
    return _asked(subject, point, part, "gate")[0]


def _asked(subject: Subject, point: Knobs, part: Numbers, label: str) -> tuple[Figures, float]:
    """Figures of a point on a half, with the seconds of its searches; it stops where it can no longer pass.

    That is no guess: even if all other probes were found, the bound would be above the target.
    """
    exam, out = subject.exam, Path(subject.site.data, f"{subject.name}.npz")
    found: list[Lists] = []
    seconds, depth = 0.0, exam.depth(part)
    figures = exam.figures(exam.nothing(part[:0]), part[:0])
    first = int(part[0])
    for start in range(0, len(part), BLOCK):
        stop = min(start + BLOCK, len(part))
        asked = subject.ask("answer", point=point, part=[first + start, first + stop], depth=depth, out=str(out))
        seconds += asked["seconds"]
        with np.load(out) as arrays:
            found.append((arrays["similarities"], arrays["numbers"]))
        subject.told.doing(label, stop, len(part))
        whole = np.concatenate([one[0] for one in found]), np.concatenate([one[1] for one in found])
        figures = exam.figures(whole, part[:stop])
        if exam.hopeless(figures, len(part)):
            break
    out.unlink(missing_ok=True)
    return figures, seconds
