"""The figures of a demo: as JSON for machines, as one table for people."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from manager.demo.check import Checked
from manager.demo.usage import Usage


def figures(
    built: dict[str, Any], streamed: dict[str, Any], spent: Usage, direct: float, checked: Checked
) -> dict[str, Any]:
    """The shape that other tools rely on."""
    quality, answered = built["quality"], max(streamed["answered"], 1)
    client = streamed["cpu_us_per_request"]
    overhead = (spent.redis + spent.matcher - spent.search) / answered * 1e6 + client
    return {
        "rows": built["rows"], "dim": built["dim"], "recipe": built["recipe"],
        "build": {
            "seconds": built["seconds"], "rows_per_s": built["rows_per_s"],
            "stages": {name: stage["seconds"] for name, stage in built["stages"].items()},
        },
        "search": {
            "probes_per_s": streamed["probes_per_s"], "p50_ms": streamed["p50_ms"], "p99_ms": streamed["p99_ms"],
            "direct_per_s": direct, "overhead_us": overhead,
        },
        "quality": {
            "recall_at_10": checked.recall_at_10, "rank1_miss": quality["rank1_miss"], "added_fnir": quality["added_fnir"],
            "fpir": quality["fpir"], "threshold": quality["threshold"],
        },
        "memory": {"bytes_per_vector": built["memory"]["bytes_per_vector"]},
    }  # fmt: skip


def printed(shown: Table) -> None:
    """Print a table: as wide as the terminal, or wide enough for a file."""
    Console(width=None if sys.stdout.isatty() else 120).print(shown)


def table(found: dict[str, Any], built: dict[str, Any], streamed: dict[str, Any], checked: Checked) -> Table:
    """One table for people."""
    shown = Table(title="lim demo", show_header=False, title_justify="left")
    for section in (_built(built), _streamed(found["search"], streamed), _measured(built["quality"], checked)):
        for name, value in section:
            shown.add_row(name, value)
        shown.add_section()
    return shown


def _built(built: dict[str, Any]) -> Iterator[tuple[str, str]]:
    rows, memory, point = built["rows"], built["memory"], built["point"]
    how = f", re-ranking the best {point['rerank']}" if point["rerank"] else ""
    cells = f", {point['nprobe']} cells probed" if built["recipe"] == "cells" else ""
    yield "index", f"{rows:,} descriptors of {built['dim']} numbers; recipe {built['recipe']}{cells}{how}"
    if built["rejects"]:
        yield "rejected rows", f"{built['rejects']:,}"
    for name, stage in built["stages"].items():
        yield f"  {name}", f"{stage['seconds']:7.2f} s  {rows / max(stage['seconds'], 1e-9):12,.0f} rows/s"
    yield "built in", f"{built['seconds']:7.2f} s  {built['rows_per_s']:12,.0f} rows/s, measuring included"
    yield (
        "bytes per vector",
        f"{memory['bytes_per_vector']:.0f} in memory, {memory['mapped'] / rows:,.0f} in mapped files",
    )


def _streamed(search: dict[str, Any], streamed: dict[str, Any]) -> Iterator[tuple[str, str]]:
    errors = ", ".join(f"{count:,} × error {code}" for code, count in streamed["errors"].items()) or "no errors"
    yield "probes through Redis", f"{search['probes_per_s']:,.0f}/s; {streamed['answered']:,} answered, {errors}"
    yield "latency with 512 in flight", f"p50 {search['p50_ms']:.1f} ms, p99 {search['p99_ms']:.1f} ms"
    yield "the index called directly", f"{search['direct_per_s']:,.0f}/s"
    yield "CPU outside the search", f"{search['overhead_us']:.0f} µs a probe in Redis, client and matcher together"


def _measured(quality: dict[str, Any], checked: Checked) -> Iterator[tuple[str, str]]:
    yield "recall@10", f"{checked.recall_at_10:.4f} of exact search, over {checked.probes:,} streamed probes"
    yield "rank-1 miss", f"{quality['rank1_miss']:.4f} of {quality['probes']:,} mated probes"
    miss = f"{quality['exact_fnir']:.4f} of them at threshold {quality['threshold']:.3f}"
    yield f"exact search misses at FPIR {quality['fpir']}", miss
    added = f"{quality['added_fnir']:.5f}: {quality['lost']} lost; 95 % bound {quality['added_fnir_bound']:.5f}"
    yield "the index adds", f"{added}, target {quality['target']}"
    yield "verdict", quality["verdict"]
    yield "mated probes", quality["probes_from"]
