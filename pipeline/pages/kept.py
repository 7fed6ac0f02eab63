"""What stays of builds on disk: the list, and the log of each that was submitted here."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from pipeline.pages.history import CONTINUES, BuildOf, StageOf

logger = logging.getLogger(__name__)

TAIL_BYTES, TAIL_LINES = 64 << 10, 60


class Kept:
    """A folder of one scheduler; a temporary one, which `close` removes, where none is named."""

    def __init__(self, folder: str) -> None:
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="lim-builds-")
        self.folder = Path(self._temporary.name if self._temporary else folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)

    def log(self, run: str) -> Path:
        """The log of a submitted build."""
        return self.folder / f"{run}.log"

    def figures(self, run: str) -> Path:
        """What a submitted build says of itself when it is done."""
        return self.folder / f"{run}.figures.json"

    def load(self) -> list[BuildOf]:
        """The builds of an earlier scheduler; what was under way then has stopped."""
        file = self.folder / "builds.json"
        if not file.exists():
            return []
        try:
            builds = [_read(one) for one in json.loads(file.read_text())]
        except (ValueError, TypeError, KeyError) as error:
            aside = file.with_suffix(".unreadable")
            file.replace(aside)
            logger.warning(
                "%s: expected a list of builds, got something else (%s): begun anew, it is kept as %s.",
                file,
                error,
                aside,
            )
            return []
        for build in builds:
            build.end("stopped", time.time(), f"the scheduler ended before it was done: {CONTINUES}")
        return builds

    def save(self, builds: Iterable[BuildOf]) -> None:
        """Write the list, whole or not at all; logs of builds that are no longer in it go.

        A disk that is full costs the list after a restart, and no build: it is logged.
        """
        builds = list(builds)
        try:
            self._write(builds)
        except OSError as error:
            logger.error("%s: the list of builds was not written: %s; make room there.", self.folder, error)  # noqa: TRY400
        names = {path.name for build in builds for path in (self.log(build.run), self.figures(build.run))}
        for path in [*self.folder.glob("*.log"), *self.folder.glob("*.figures.json")]:
            if path.name not in names:
                path.unlink(missing_ok=True)

    def _write(self, builds: list[BuildOf]) -> None:
        part = self.folder / "builds.json.part"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump([asdict(build) for build in builds], file)
        part.replace(self.folder / "builds.json")

    def tail(self, run: str) -> str:
        """The last lines of a log; empty where there is none."""
        try:
            with self.log(run).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                return "\n".join(file.read().decode(errors="replace").splitlines()[-TAIL_LINES:])
        except FileNotFoundError:
            return ""

    def close(self) -> None:
        """Remove what was temporary."""
        if self._temporary:
            self._temporary.cleanup()


def _read(data: dict[str, object]) -> BuildOf:
    stages = data.pop("stages")
    build = BuildOf(**data)  # type: ignore[arg-type]
    build.stages = {name: StageOf(**one) for name, one in stages.items()}  # type: ignore[attr-defined]
    return build
