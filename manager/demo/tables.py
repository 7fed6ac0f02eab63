"""The figures of a demo, as JSON and as one table for people."""

from __future__ import annotations

from typing import Any

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


def table(found: dict[str, Any], built: dict[str, Any], streamed: dict[str, Any], checked: Checked) -> Table:
    """One table."""
    shown = Table(title="lim demo", show_header=False, title_justify="left")
    search, quality = found["search"], built["quality"]
    shown.add_row(
        "index", f"{found['rows']:,} descriptors of {found['dim']}, recipe {found['recipe']}, {built['point']}"
    )
    for name, stage in built["stages"].items():
        shown.add_row(
            f"  {name}",
            f"{stage['seconds']:8.2f} s" + (f"  {stage['rows_per_s']:12,.0f} rows/s" if stage["rows"] else ""),
        )
    shown.add_row("built in", f"{built['seconds']:.1f} s, {built['rows_per_s']:,.0f} rows/s, measuring included")
    shown.add_row("bytes per vector in memory", f"{found['memory']['bytes_per_vector']:.0f}")
    shown.add_section()
    shown.add_row(
        "probes through Redis",
        f"{search['probes_per_s']:,.0f}/s, {streamed['answered']:,} answered, {sum(streamed['errors'].values())} errors",
    )
    shown.add_row("latency, 512 in flight", f"p50 {search['p50_ms']:.1f} ms, p99 {search['p99_ms']:.1f} ms")
    shown.add_row(
        "the index called directly",
        f"{search['direct_per_s']:,.0f}/s; Redis, client and matcher add {search['overhead_us']:.0f} µs of CPU",
    )
    shown.add_section()
    shown.add_row(
        "recall@10", f"{checked.recall_at_10:.4f} of exact search, {checked.probes:,} streamed probes checked"
    )
    shown.add_row("rank-1 miss", f"{quality['rank1_miss']:.4f}")
    shown.add_row(
        f"exact search misses at FPIR {quality['fpir']}",
        f"{quality['exact_fnir']:.4f} (threshold {quality['threshold']:.3f})",
    )
    shown.add_row(
        "the index adds",
        f"{quality['added_fnir']:.5f} ({quality['lost']} of {quality['probes']:,} mates lost; "
        f"bound {quality['added_fnir_bound']:.5f}, target {quality['target']})",
    )
    shown.add_row("mated probes", quality["probes_from"])
    return shown
