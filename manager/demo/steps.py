"""The steps of the demo."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from manager.demo.commands import begin, command
from manager.demo.plan import LABEL, Wishes
from manager.embedded.processes import StackError
from manager.embedded.stack import Stack
from pipeline.artifact import open_store
from pipeline.order import from_anywhere
from pipeline.sources.opening import open_source
from pipeline.summary import kept

LIMIT = 10
"""Candidates of a probe."""

SERVED_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Faces:
    """What is indexed, and what is asked."""

    source: str
    measure: Path | None
    """Labelled photos of the same people to measure with; None = the build makes pseudo-mates."""
    stream: Path
    """Probes to send through Redis."""
    own: bool
    """Whether those probes are the first rows of the source themselves."""


def faces(stack: Stack, wishes: Wishes) -> Faces:
    """Made-up people with other photos of them, or the person's own with their first rows as probes."""
    if wishes.given:
        path = stack.folder / "stream.npy"
        np.save(path, gallery(wishes.given, wishes, most=wishes.probes)[0].astype(np.float32))
        return Faces(wishes.given, None, path, own=True)
    source, probes = stack.folder / "gallery.parquet", stack.folder / "probes.parquet"
    count = min(2 * wishes.probes, wishes.rows)
    command(
        stack, "generate", "--rows", str(wishes.rows), "--regime", wishes.regime, "--seed", "1", "--out", str(source),
        "--probes", str(count), "--probes-out", str(probes),
    )  # fmt: skip
    return Faces(str(source), *_halves(probes, stack.folder), own=False)


def _halves(probes: Path, folder: Path) -> tuple[Path, Path]:
    """Measuring and streaming use different people: a demo that streams what it was tuned on would flatter itself."""
    table = pq.read_table(probes)
    paths = folder / "measure.parquet", folder / "stream.parquet"
    cut = table.num_rows // 2
    pq.write_table(table.slice(0, cut), paths[0])
    pq.write_table(table.slice(cut), paths[1])
    return paths


def gallery(source: str, wishes: Wishes, most: int | None = None) -> tuple[NDArray[np.float16], list[str]]:
    """The rows of a source (n, dim) as a build reads them, with their ids; at most the first `most`."""
    settings = wishes.settings
    images = replace(settings.images, **_photos(wishes))
    opened = open_source(source, settings.source, images, settings.storage)
    rows: list[NDArray[np.float16]] = []
    names: list[str] = []
    for part in opened.partitions(25_000):
        read = opened.read(part)
        rows.append(read.descriptors)
        names += [str(name) for name in read.ids]
        if most is not None and len(names) >= most:
            break
    if not names:
        raise StackError(f"{source}: expected descriptors, got none that can be used")
    return np.concatenate(rows)[:most], names[:most]


def build(stack: Stack, wishes: Wishes, found: Faces) -> dict[str, Any]:
    """Index the faces on the stack's Dask workers, without a manager; returns the figures."""
    arguments = [found.source, "--label", LABEL, "--recipe", wishes.recipe, *_probes(found)]
    settings = tuple(f"images.{name}={value}" for name, value in _photos(wishes).items())
    return command(stack, "build", *arguments, settings=settings)


def submit(stack: Stack, wishes: Wishes, found: Faces) -> dict[str, Any]:
    """Have the manager index the faces, as it does for everybody; returns the figures of its build."""
    options = {"build.recipe": wishes.recipe, **{f"images.{name}": value for name, value in _photos(wishes).items()}}
    given = [word for name, value in options.items() for word in ("--option", f"{name}={value}")]
    places, index_id = ["--source", from_anywhere(found.source), *_probes(found)], str(uuid.uuid4())
    begin(stack, "submit", LABEL, *places, *given, "--task-id", index_id, "--wait", figures=False).finish(stack)
    return kept(open_store(stack.storage.bucket, stack.storage), LABEL, index_id)


def _probes(found: Faces) -> list[str]:
    return [] if found.measure is None else ["--probes", str(found.measure)]


def _photos(wishes: Wishes) -> dict[str, Any]:
    """Photos that somebody has at hand may show people in the background: the largest face counts."""
    return {"models": str(Path(wishes.models).absolute()), "on_several": "largest"} if wishes.images else {}


def stream(stack: Stack, found: Faces, count: int) -> tuple[dict[str, Any], Path]:
    """Send probes through Redis; returns the figures and the answers, with room for the probe's own row."""
    answers = stack.folder / "answers.npz"
    figures = command(
        stack, "load", "--label", LABEL, "--probes", str(found.stream), "--requests", str(count),
        "--limit", str(LIMIT + found.own), "--answers", str(answers),
    )  # fmt: skip
    if not figures["answered"]:
        raise StackError(f"lim load: expected answers, got only errors: {figures['errors']}")
    return figures, answers


def vectors(probes: Path) -> NDArray[np.float32]:
    """The probes of a file (n, dim)."""
    if probes.suffix == ".npy":
        return np.load(probes)  # type: ignore[no-any-return]
    column = pq.read_table(probes, columns=["descriptor"])["descriptor"].combine_chunks()
    return np.asarray(column.flatten()).astype(np.float32).reshape(len(column), -1)


def wait_served(stack: Stack, index_id: str) -> None:
    """Until the matcher has seen the new index, as it does within `matcher.poll_s`."""
    _wait(stack, lambda held: index_id in {one["index_id"] for one in held}, f"index {index_id}")


def wait_labels(stack: Stack, labels: Collection[str]) -> None:
    """Until the matcher serves all of these."""
    _wait(stack, lambda held: set(labels) <= {one["label"] for one in held}, f"{len(labels)} labels")


def _wait(stack: Stack, seen: Callable[[list[dict[str, Any]]], bool], what: str) -> None:
    until = time.monotonic() + SERVED_WITHIN_S
    while True:
        stack.check()
        said = json.loads(stack.page("/indexes"))
        if seen(said["indexes"]):
            return
        if time.monotonic() > until:
            refused = "; ".join(one["detail"] for one in said["not_loaded"][:3])
            raise StackError(
                f"matcher: expected to serve {what} within {SERVED_WITHIN_S:.0f} s, does not ({refused or 'no reason given'}):\n"
                f"{stack.children['matcher'].tail()}"
            )
        time.sleep(0.05)
