"""What the bench asks of an engine."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import LimError

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]
Numbers = NDArray[np.int64]

Knobs = dict[str, Any]
"""An operating point: names and values as the engine's own manual has them; `batch` where it is not BATCH."""

BATCH = 256
"""Queries handed over at a time unless a point says otherwise."""

BLOCK = 10_000
"""Rows converted to float32 at a time while building."""


class Unavailable(LimError):
    """An engine that cannot be measured here; the message says why, with the command that would change it."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where an engine works, and on what.  Survives JSON."""

    folder: str
    """The engine's own, empty before the build; what is there afterwards is all that `open` needs."""
    data: str
    """Folder of the regime: `gallery.npy` (rows, dim) float16 of unit norm, and what else `data` left."""
    threads: int
    settings: str
    """File of the settings in force, for `lim` commands."""

    @property
    def gallery(self) -> Halves:
        """The rows, mapped."""
        rows: Halves = np.load(Path(self.data, "gallery.npy"), mmap_mode="r")
        return rows

    @property
    def home(self) -> Path:
        """The engine's own folder."""
        return Path(self.folder)


class Engine(ABC):
    """One engine in a process of its own: made, then either `build` or `open`, `search`…, `close`.

    Its libraries are loaded when it is made, so that they are not counted as memory of the index.
    """

    kept: ClassVar[bool] = True
    """Whether a built index may be taken from an earlier run: it depends on data and parameters alone."""
    chooses: ClassVar[bool] = False
    """Whether the engine chose its operating point while building, so that the bench only judges it."""

    def __init__(self, site: Site) -> None:
        self.site = site

    @property
    @abstractmethod
    def recipe(self) -> str:
        """What is built, with its parameters; an index of another recipe is never taken for this one."""

    @abstractmethod
    def build(self) -> dict[str, float]:
        """Build from `site.gallery` into `site.home`; returns figures of its own, `build_s` if a clock around it is wrong."""

    @abstractmethod
    def open(self) -> None:
        """Make ready to search what `build` left."""

    @abstractmethod
    def points(self) -> list[Knobs]:
        """Operating points, those that ought to be cheap first; the engine's own choice first where it `chooses`."""

    @abstractmethod
    def search(self, queries: Floats, k: int, point: Knobs) -> tuple[Floats, Numbers]:
        """Similarities (n, k), best first, and row numbers (n, k) for queries (n, d), with all threads; -1 for none."""

    @property
    def exact(self) -> bool:
        """Whether every row is compared, so that nothing is lost by definition."""
        return False

    def close(self) -> None:  # noqa: B027 - most engines end with their process
        """End what does not end with the process."""


def library(name: str, requirement: str) -> Any:
    """A peer's library, which no part of the system but this bench needs; raises Unavailable with what to install.

    Loaded by name: peers are optional, each is known to one engine's module only.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != name.partition(".")[0]:
            raise
        raise Unavailable(f"not installed: pip install '{requirement}'") from None


def doubling(first: int, last: int) -> list[int]:
    """first, twice that, … up to `last`."""
    found = []
    while first <= last:
        found.append(first)
        first *= 2
    return found


def padded(similarities: list[list[float]], numbers: list[list[int]], k: int) -> tuple[Floats, Numbers]:
    """Lists of any lengths as matrices (n, k), with -1 where there is nothing."""
    near, rows = np.full((len(numbers), k), -1, np.float32), np.full((len(numbers), k), -1, np.int64)
    for place, (some, theirs) in enumerate(zip(similarities, numbers, strict=True)):
        near[place, : len(some)], rows[place, : len(theirs)] = some[:k], theirs[:k]
    return near, rows
