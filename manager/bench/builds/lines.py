"""The tables of `lim bench build`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from rich.table import Table

from manager.bench.builds.ground import cores
from manager.bench.builds.one_build import EVALUATION, Measured

WANTED = {"cells": 10_000, "scan": 20_000}
"""Rows a second and core, at a million of 512 dimensions."""

WANTED_OF_STORE = 2.0
"""Times as long as a plain copy."""

WANTED_OF_SHAPES = 1.10
"""CPU seconds over those of the most frugal shape."""


def tables(found: dict[str, Any], builds: list[Measured]) -> Iterator[Table]:
    """A table of stages for each build, then what all of them come to."""
    for one in builds:
        yield _stages(one)
    table = Table("figure", "measured", "wanted", "", title=_title(found))
    for one in builds:
        _add(table, *_speed(one))
        _add(table, *_store(one))
    for _, some in groupby(builds, lambda one: one.recipe):
        for line in _shapes(list(some)):
            _add(table, *line)
    if peer := found.get("hnswlib"):
        for name, value in _peer(peer):
            _add(table, name, value, "", None)
    yield table


def _title(found: dict[str, Any]) -> str:
    return f"lim bench build, {found['rows']:,} rows ({found['regime']}), bucket in {found['store']}, {found['cores']} cores"


def _add(table: Table, name: str, value: str, wanted: str, fine: bool | None) -> None:
    table.add_row(name, value, wanted, {True: "yes", False: "[bold red]no[/bold red]", None: ""}[fine])


def _stages(one: Measured) -> Table:
    """Where the time goes."""
    title = f"{one.recipe}, {one.shape} processes x threads, {one.manifest.count:,} rows"
    shown = Table("stage", "items", "seconds", "share", "CPU s", "store s", "rows/s", "peak MiB", title=title)
    for number in range(1, 8):
        shown.columns[number].justify = "right"
    for apart in (False, True):
        for name, stage in one.stages.items():
            if (name in EVALUATION) == apart:
                shown.add_row(*_stage(one, name, stage))
        shown.add_section()
    return shown


def _stage(one: Measured, name: str, stage: dict[str, float]) -> tuple[str, ...]:
    seconds = stage["seconds"]
    share = "" if name in EVALUATION else f"{seconds / one.making_s:.0%}"
    speed = f"{one.manifest.count / seconds:,.0f}" if seconds else ""
    peak = f"{stage['peak'] / (1 << 20):,.0f}"
    return (
        name,
        f"{stage['items']:.0f}",
        f"{seconds:.2f}",
        share,
        f"{stage['cpu_s']:.2f}",
        f"{stage['store_s']:.2f}",
        speed,
        peak,
    )


def _speed(one: Measured) -> tuple[str, str, str, bool | None]:
    speed, wanted = one.rows_per_core(cores()), WANTED.get(one.recipe)
    bound = max((name for name in one.stages if name not in EVALUATION), key=lambda name: one.stages[name]["seconds"])
    busy = one.making_cpu_s / one.making_s / min(cores(), one.shape.processes * one.shape.threads)
    text = f"{speed:,.0f} rows/s/core in {one.making_s:.1f} s; longest {bound}; cores {busy:.0%} busy"
    name = f"{one.recipe}, {one.shape}, evaluation apart ({one.evaluation_s:.1f} s)"
    return name, text, f"{wanted:,} or more" if wanted else "", speed >= wanted if wanted else None


def _store(one: Measured) -> tuple[str, str, str, bool | None]:
    if not one.plain_s:
        return "  reading, writing", "not compared", "", None
    ours = one.spent.read_s + one.spent.write_s
    moved = f"{one.spent.read / 1e9:.2f} GB read, {one.spent.written / 1e9:.2f} GB written"
    ratio = ours / one.plain_s
    text = f"{moved}: {ours:.1f} s, a plain copy {one.plain_s:.1f} s, ratio {ratio:.2f}"
    return "  reading, writing, all workers", text, f"{WANTED_OF_STORE:g} or less", ratio <= WANTED_OF_STORE


def _shapes(some: list[Measured]) -> Iterator[tuple[str, str, str, bool | None]]:
    """Shapes of one recipe beside each other."""
    if len(some) < 2:
        return
    least = min(one.making_cpu_s for one in some)
    for one in some:
        ratio = one.making_cpu_s / least
        text = f"{one.making_cpu_s:.1f} s of CPU, ratio {ratio:.2f}; {one.making_s:.1f} s"
        yield f"{one.recipe}, {one.shape}", text, f"{WANTED_OF_SHAPES:g} or less", ratio <= WANTED_OF_SHAPES
    digests = {one.manifest.content_digest for one in some}
    yield f"{one.recipe}, digests of the shapes", str(len(digests)), "1", len(digests) == 1


def _peer(peer: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "unavailable" in peer:
        yield "hnswlib", peer["unavailable"]
        return
    yield "hnswlib, " + peer["recipe"], f"{peer['rows_per_core']:,.0f} rows/s/core, measured at {peer['rows']:,} rows"
    if more := peer.get("extrapolated"):
        yield "  extrapolated, not measured", f"{more['rows_per_core']:,.0f} rows/s/core at {more['rows']:,} rows"
