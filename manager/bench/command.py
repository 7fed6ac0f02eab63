"""`lim bench`: measurements side by side in one run."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from manager.bench.stream import paced, quiet_and_flooded, rounds, summary
from manager.demo import steps
from manager.demo.check import open_published
from manager.demo.plan import Wishes
from manager.embedded.stack import running


@click.group()
def bench() -> None:
    """Measure side by side on this machine; figures are ratios within one run."""


@bench.command()
@click.option("--rows", default=200_000, show_default=True, help="Descriptors of the index.")
@click.option("--requests", default=20_000, show_default=True, help="Requests of a round.")
@click.option("--repeats", default=5, show_default=True, help="Interleaved rounds; medians are shown.")
@click.option(
    "--lists", default=1_000, show_default=True, help="Quiet lists beside the flooded one; 0 = leave that part out."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
def stream(rows: int, requests: int, repeats: int, lists: int, json_file: Path | None) -> None:
    """The stream beside calling the same index directly; then quiet lists beside a flooded one."""
    wishes = Wishes(rows, requests, 0, "", "", "", False, 0, Path("lim-bench"), "scan")
    with tempfile.TemporaryDirectory(prefix="lim-bench-") as folder, running(Path(folder)) as stack:
        source, measure, probes = steps.generate(stack, wishes)
        built = steps.build(stack, wishes, source, measure)
        steps.wait_served(stack, built["index_id"])
        index = open_published(stack, stack.folder / "direct")
        found = {
            "rows": rows,
            "rounds": summary(rounds(stack, index, probes, steps.vectors(probes), requests, repeats)),
        }
        index.close()
        half = found["rounds"]["probes_per_s"] / 2
        found["paced"] = {"rate": half} | paced(stack, probes, half)
        if lists:
            found["flood"] = quiet_and_flooded(stack, probes, lists)
    if json_file is not None:
        json_file.write_text(json.dumps(found, indent=1))
    Console().print(_table(found))


def _table(found: dict[str, dict[str, float]]) -> Table:
    medians, half = found["rounds"], found["paced"]
    table = Table("figure", "measured", "wanted", title=f"lim bench stream, {found['rows']:,} rows, medians")
    table.add_row("the index called directly, batches of 256", f"{medians['direct_per_s']:,.0f}/s", "")
    table.add_row("through Redis, 512 in flight", f"{medians['probes_per_s']:,.0f}/s", "")
    table.add_row("share of what the overhead leaves", f"{medians['of_model']:.2f}", "0.85 or more")
    table.add_row("CPU outside the search, all three", f"{medians['overhead_us']:.0f} µs", "120 or less")
    table.add_row("  matcher", f"{medians['matcher_us']:.0f} µs", "80 or less")
    table.add_row("  Redis, client", f"{medians['redis_us']:.0f} µs, {medians['client_us']:.0f} µs", "")
    table.add_row(
        f"at half of that, {half['rate']:,.0f}/s",
        f"p50 {half['p50_ms']:.1f} ms, p99 {half['p99_ms']:.1f} ms",
        "p99 below 100",
    )
    if "flood" in found:
        flood = found["flood"]
        name = f"{flood['lists']:,} quiet lists at 200/s, p99"
        table.add_row(name, f"{flood['alone_p99_ms']:.1f} ms alone", "")
        table.add_row(f"  beside a flood of {flood['flood_per_s']:,.0f}/s", f"{flood['flooded_p99_ms']:.1f} ms", "")
        table.add_row("  ratio, 5 ms at least", f"{flood['ratio']:.2f}", "2 or less")
    return table
