"""Our own index, by the public command, as a matcher searches it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from manager.bench.peers.engine import Engine, Floats, Knobs, Numbers, Site
from manager.embedded.processes import dying_with_us
from manager.embedded.python import lim
from manager.embedded.settings_file import OURS
from pipeline.artifact import Cache, Manifest, Point, open_store, read_head, read_manifest
from pipeline.device.threads import set_threads
from pipeline.search.index import Index
from pipeline.search.opening import open_index

LABEL = "bench"
MAKES = ("train", "encode", "assemble")
"""Stages that make an index of vectors which are at hand, which is what other engines' build times are."""

PART = 64
"""Queries that one thread searches at a time, as in the matcher: no core waits for another."""


class Ours(Engine):
    """What the planner chose, at the point that it chose."""

    kept = False
    chooses = True
    wanted: ClassVar[str] = "auto"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._index: Index | None = None
        self._pool = ThreadPoolExecutor(site.threads, "ours", initializer=set_threads, initargs=(1,))

    @property
    def recipe(self) -> str:
        if self._index is None:
            return f"lim build --recipe {self.wanted}"
        manifest = self._index.manifest
        known = ", ".join(f"{name} {value}" for name, value in manifest.parameters.items())
        return f"{manifest.recipe} ({known})" if known else manifest.recipe

    @property
    def exact(self) -> bool:
        return self._index is not None and self._index.manifest.recipe == "exact"

    @property
    def _opened(self) -> Index:
        if self._index is None:
            raise ValueError(f"{self.site.folder}: expected an index that is open, got none: open() comes first")
        return self._index

    def build(self) -> dict[str, float]:
        """`lim build` in a process of its own; raises CalledProcessError when it refuses, what it said is in the log."""
        figures = self.site.home / "build.json"
        words = ["build", str(Path(self.site.data, "gallery.npy")), "--label", LABEL, "--recipe", self.wanted]
        if (probes := Path(self.site.data, "planning.npy")).exists():
            words += ["--probes", str(probes)]
        temporary = self.site.home / "tmp"  # where Dask leaves its folder
        temporary.mkdir()
        environ = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        environ["TMPDIR"] = str(temporary)
        bucket = ("--settings", self.site.settings, "--set", f"storage.bucket={self._bucket}")
        subprocess.run(
            lim(*bucket, *words, "--force", "--json", str(figures)), env=environ, check=True, stdin=subprocess.DEVNULL,
            preexec_fn=dying_with_us(),
        )  # fmt: skip
        built = json.loads(figures.read_text())
        spent = {name: stage["seconds"] for name, stage in built["stages"].items()}
        return {
            "build_s": sum(spent[name] for name in MAKES), "train_encode_s": spent["train"] + spent["encode"],
            "measured_and_published_s": built["seconds"],
        }  # fmt: skip

    @property
    def _bucket(self) -> str:
        return str(self.site.home / "bucket")

    def open(self) -> None:
        store = open_store(self._bucket)
        manifest = read_manifest(store, LABEL, read_head(store, LABEL)[0].index_id)
        self._index = open_index(Cache(self.site.home / "cache", 1 << 40).fetch(store, manifest), manifest)
        rows = len(self.site.gallery)
        if self._index.rows != rows:
            raise ValueError(f"lim build: expected an index of {rows} rows, got {self._index.rows}; are ids unique?")

    def points(self) -> list[Knobs]:
        manifest = self._opened.manifest
        chosen = asdict(manifest.point)
        return [chosen, *(one for one in _measured(manifest) if one != chosen)]

    def search(self, queries: Floats, k: int, point: Knobs) -> tuple[Floats, Numbers]:
        """Codes: the batch is dealt in parts to single-threaded searchers.  Exact: one product of all threads."""
        index, at = self._opened, Point(**point)
        if index.manifest.recipe == "exact":
            set_threads(self.site.threads)
            return index.search(queries, k, point=at)
        parts = [queries[start : start + PART] for start in range(0, len(queries), PART)]
        found = list(self._pool.map(lambda part: index.search(part, k, point=at), parts))
        return np.concatenate([one[0] for one in found]), np.concatenate([one[1] for one in found])

    def close(self) -> None:
        self._pool.shutdown()


class Scan(Ours):
    """The scan, whatever the planner would choose."""

    wanted = "scan"


class Cells(Ours):
    """Cells, whatever the planner would choose."""

    wanted = "cells"


def _measured(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Points of the published candidate that were measured while building: those of others need other files."""
    names = [field.name for field in fields(Point)]
    points = [(one.get("name"), {name: one[name] for name in names if name in one}) for one in manifest.points]
    chosen = asdict(manifest.point)
    theirs = {
        name
        for one, (name, point) in zip(manifest.points, points, strict=True)
        if point == chosen and not one.get("rejected")
    }
    yield from (point for name, point in points if name in theirs)
