"""The builds that a scheduler knows of: a bounded list, brought up to date by what their commands tell."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger(__name__)

OPEN = ("queued", "starting", "running")
"""States that something follows; the others are `published`, `failed`, `cancelled` and `stopped`."""

EVENTS = ("began", "started", "wave", "item", "ended", "published", "failed")

MOST_STAGES = 64
"""Of one build: what arrives is somebody else's, and may not fill this process."""

RUN = re.compile(r"[\w-]{1,80}", re.ASCII)
"""Names of runs, which are parts of addresses and of file names."""

CONTINUES = "run the same command again, which continues where it stopped"


@dataclass(slots=True)
class StageOf:
    """A stage of one run; `finished` items were done by an earlier run, `done` by this one."""

    name: str
    items: int = 0
    finished: int = 0
    done: int = 0
    rows: int = 0
    wave: int = 0
    began: float = 0.0
    """Seconds since 1970; 0 = not yet."""
    seconds: float | None = None
    """How long it took; None while it lasts."""


@dataclass(slots=True)
class BuildOf:
    """One run of `lim build`; times in seconds since 1970, 0 = not yet."""

    run: str
    label: str
    source: str = ""
    state: str = "running"
    index_id: str = ""
    client: str = ""
    """The Dask client that the run talks through."""
    order: dict[str, str] | None = None
    """What was submitted here, to submit it again; None for runs started elsewhere."""
    submitted: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    stages: dict[str, StageOf] = field(default_factory=dict)
    rows: int = 0
    error: str = ""
    report: str = ""
    """Key of the published report."""

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.state in OPEN

    @property
    def stage(self) -> StageOf | None:
        """The stage at work, or the last one that was."""
        begun = [one for one in self.stages.values() if one.began]
        return begun[-1] if begun else None

    def end(self, state: str, now: float, error: str = "") -> None:
        """It has ended; what ended it first is kept, but a command's own word about an error goes before a guess."""
        if self.is_open or (self.state == "stopped" and state != "stopped"):
            self.state, self.ended, self.error = state, now, error


class History:
    """Builds by run, the newest last; `kept` are the most."""

    def __init__(self, kept: int, builds: Iterable[BuildOf] = ()) -> None:
        self._kept = kept
        self._builds = {build.run: build for build in builds}

    def __iter__(self) -> Iterator[BuildOf]:
        """All of them, the newest first."""
        return iter(list(reversed(self._builds.values())))

    def get(self, run: str) -> BuildOf | None:
        """The build of a run."""
        return self._builds.get(run)

    def add(self, build: BuildOf) -> BuildOf:
        """Take a new one in; the oldest that has ended, or the oldest of all, goes."""
        self._builds[build.run] = build
        while len(self._builds) > self._kept:
            ended = (run for run, one in self._builds.items() if not one.is_open)
            del self._builds[next(ended, next(iter(self._builds)))]
        return build

    def heard(self, message: Any, now: float) -> BuildOf | None:
        """Take in what a command told at `now`; returns its build, None where the message is not one of ours."""
        try:
            return self._heard(message, now)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            logger.warning("A message about a build was passed over: %s: %s.", type(error).__name__, error)
            return None

    def gone(self, client: str, now: float) -> list[BuildOf]:
        """A client left: what it had not finished has stopped; returns those builds."""
        left = [build for build in self._builds.values() if client and build.client == client and build.is_open]
        for build in left:
            build.end("stopped", now, f"its command left the cluster before the end: {CONTINUES}")
        return left

    def like(self, build: BuildOf) -> BuildOf | None:
        """The newest published build that shows how long stages take; of the same label before all others."""
        done = [one for one in self if one.state == "published" and one.rows and one.stages and one is not build]
        same = [one for one in done if one.label == build.label]
        return next(iter(same or done), None)

    def _heard(self, message: Any, now: float) -> BuildOf:
        event = message["event"]
        if event not in EVENTS:
            raise ValueError(f"expected one of {', '.join(EVENTS)}, got {event!r}")
        build = self._build(message, now)
        if event == "began":
            build.source = str(message["source"])
            for name in message["stages"]:
                _stage(build, name)
        elif event == "published":
            build.rows, build.report = int(message["rows"]), str(message["report"])
            build.end("published", now)
        elif event == "failed":
            build.end("failed", now, str(message["error"]))
        else:
            stage = _stage(build, message["stage"])
            _told(stage, message, now)
            for other in build.stages.values():  # whose end nobody heard, as a lost scheduler does not
                if other is not stage and other.began and other.seconds is None:
                    other.seconds = now - other.began
        return build

    def _build(self, message: Any, now: float) -> BuildOf:
        """By run; finished items name only the index, of whose runs the newest is the one at work."""
        run, index_id, label = message.get("run", ""), str(message["index_id"]), str(message["label"])
        build = self.get(str(run)) if run else next((one for one in self if one.index_id == index_id), None)
        client = str(message.get("client", ""))
        if build is None or (not run and not build.is_open and build.client != client):
            name = str(run) or f"{index_id}-{now:.0f}"
            if not RUN.fullmatch(name):
                raise ValueError(f"expected letters, digits and hyphens as run, got {name[:80]!r}")
            build = self.add(BuildOf(name, label))
        build.index_id, build.client = index_id, client or build.client
        if build.state in ("queued", "starting", "stopped"):  # what was taken for dead may be back
            build.state, build.ended, build.error = "running", 0.0, ""
        build.began = build.began or now
        return build


def _stage(build: BuildOf, name: Any) -> StageOf:
    if name not in build.stages and len(build.stages) >= MOST_STAGES:
        raise ValueError(f"expected at most {MOST_STAGES} stages, got one more")
    return build.stages.setdefault(str(name), StageOf(str(name)))


def _told(stage: StageOf, message: Any, now: float) -> None:
    stage.began = stage.began or now
    if message["event"] == "started":
        stage.items, stage.finished = int(message["items"]), int(message["finished"])
    elif message["event"] == "ended":
        stage.seconds = float(message["seconds"])
    elif message["event"] == "wave":
        stage.wave = int(message["wave"])
    else:
        stage.done, stage.rows = stage.done + 1, stage.rows + int(message["rows"])
        stage.wave = int(message["wave"])
