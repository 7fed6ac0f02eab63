"""`lim bench`: measurements side by side in one run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from configs.cli import Context
from manager.bench.builds.command import build
from manager.bench.builds.planned import plan
from manager.bench.fairness import quiet_and_flooded
from manager.bench.live import live
from manager.bench.peers.command import peers
from manager.bench.rounds import medians, paced, rounds, single
from manager.bench.showing import Line, bench_stack, shown
from manager.demo import steps
from manager.demo.direct import published
from manager.demo.plan import Wishes
from manager.embedded.stack import Stack

COUNT = click.IntRange(1)

ALONE_MS = {"mixture": 3.0, "tree": 3.0, "wide": 10.0, "isotropic": 10.0}
"""Most milliseconds of one request at a time at 500,000 rows; full-rank lists have four times the codes to read."""

REGIMES = tuple(ALONE_MS)


@click.group()
def bench() -> None:
    """Measure side by side on this machine; figures are ratios within one run."""


bench.add_command(build)
bench.add_command(plan)
bench.add_command(peers)
bench.add_command(live)


@bench.command()
@click.option("--rows", default=200_000, show_default=True, type=COUNT, help="Descriptors of the index.")
@click.option("--regime", default="mixture", show_default=True, type=click.Choice(REGIMES), help="How people resemble.")
@click.option("--recipe", default="scan", show_default=True, help="Recipe of the index; `auto` = the planner's choice.")
@click.option("--requests", default=20_000, show_default=True, type=COUNT, help="Requests of a round.")
@click.option("--repeats", default=5, show_default=True, type=COUNT, help="Interleaved rounds; medians are shown.")
@click.option("--lists", default=1_000, show_default=True, help="Quiet lists beside a flooded one; 0 leaves that out.")
@click.option("--seconds", default=10.0, show_default=True, help="Length of what runs at a fixed rate.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
@click.pass_obj
def stream(context: Context, /, requests: int, json_file: Path | None, **how: Any) -> None:
    """The stream beside calling the same index directly; then quiet lists beside a flooded one."""
    of_index = {name: how.pop(name) for name in ("rows", "regime", "recipe")}
    wishes = Wishes(probes=requests, settings=context.settings, **of_index)
    with bench_stack(context.loaded) as stack:
        found = of_index | _measured(stack, wishes, **how)
    shown(found, _lines(found), f"lim bench stream, {wishes.rows:,} rows, {wishes.regime}", json_file)


@bench.command()
@click.option("--lists", default=1_000, show_default=True, type=COUNT, help="Quiet lists beside the flooded one.")
@click.option("--repeats", default=3, show_default=True, type=COUNT, help="Interleaved rounds; medians are shown.")
@click.option("--seconds", default=10.0, show_default=True, help="Length of a round.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
@click.pass_obj
def lists(context: Context, /, json_file: Path | None, **how: Any) -> None:
    """Only the last part of `stream`: quiet lists beside a flooded one; Redis keeps no log of the flood."""
    wishes = Wishes(rows=4_000, probes=2_000, settings=context.settings)
    with bench_stack(context.loaded) as stack:
        found = {
            "flood": quiet_and_flooded(stack, steps.faces(stack, wishes), how["lists"], how["seconds"], how["repeats"])
        }
    shown(found, _lines(found), "lim bench lists", json_file)


def _measured(stack: Stack, wishes: Wishes, *, repeats: int, lists: int, seconds: float) -> dict[str, Any]:
    faces = steps.faces(stack, wishes)
    built = steps.build(stack, wishes, faces)
    steps.wait_served(stack, built["index_id"])
    with published(stack, stack.folder / "direct") as index:
        done = rounds(stack, index, faces, wishes.probes, repeats)
        alone = single(stack, index, faces, repeats)
    found: dict[str, Any] = {"cores": os.cpu_count(), "rounds": medians(done), "single": alone}
    half = found["rounds"]["probes_per_s"] / 2
    found["paced"] = paced(stack, faces, half, seconds) | {"rate": half}
    if lists:
        found["flood"] = quiet_and_flooded(stack, faces, lists, seconds, min(repeats, 3))
    return found


def _lines(found: dict[str, Any]) -> Iterator[Line]:
    if "rounds" in found:
        yield from _streamed(found["rounds"], found["paced"])
        yield from _single(found["single"], ALONE_MS[found["regime"]])
    if "flood" in found:
        yield from _flooded(found["flood"])


def _streamed(one: dict[str, float], half: dict[str, Any]) -> Iterator[Line]:
    yield "the index called directly, batches of 256", f"{one['direct_per_s']:,.0f}/s", "", None
    yield "through Redis, 512 in flight", f"{one['probes_per_s']:,.0f}/s, p99 {one['p99_ms']:.0f} ms", "", None
    yield "share of what the overhead leaves", f"{one['of_model']:.3f}", "0.85 or more", one["of_model"] >= 0.85
    yield "CPU outside the search, all three", f"{one['overhead_us']:.0f} µs", "120 or less", one["overhead_us"] <= 120
    yield "  matcher", f"{one['matcher_us']:.0f} µs", "60 or less", one["matcher_us"] <= 60
    yield "  Redis, client", f"{one['redis_us']:.0f} µs, {one['client_us']:.0f} µs", "", None
    yield "CPU of the search", f"{one['search_us']:.0f} µs", "", None
    latency = f"p50 {half['p50_ms']:.1f} ms, p99 {half['p99_ms']:.1f} ms"
    yield f"at half of that, {half['rate']:,.0f}/s", latency, "p99 below 100", half["p99_ms"] < 100
    yield "  errors", str(sum(half["errors"].values())), "none", not half["errors"]


def _single(one: dict[str, float], limit_ms: float) -> Iterator[Line]:
    latency = f"p50 {one['p50_ms']:.2f} ms, p99 {one['p99_ms']:.2f} ms"
    yield "one request at a time, through Redis", latency, f"p50 {limit_ms:g} ms or less", one["p50_ms"] <= limit_ms
    yield "  the index called directly", f"p50 {one['direct_p50_ms']:.2f} ms", "", None
    yield "  CPU in the matcher outside the search", f"{one['matcher_us']:.0f} µs", "", None


def _flooded(flood: dict[str, Any]) -> Iterator[Line]:
    alone = f"p50 {flood['alone_p50_ms']:.1f} ms, p99 {flood['alone_p99_ms']:.1f} ms"
    yield f"{flood['lists']:,} quiet lists, 200/s in all", alone, "", None
    beside = f"p50 {flood['flooded_p50_ms']:.1f} ms, p99 {flood['flooded_p99_ms']:.1f} ms"
    name = f"  beside a flood of {flood['flood_per_s']:,.0f}/s (capacity {flood['capacity_per_s']:,.0f}/s)"
    yield name, beside, "", None
    yield "  ratio of p99, 5 ms at least", f"{flood['ratio']:.2f}", "2 or less", flood["ratio"] <= 2
    yield "  errors", str(flood["errors"]), "none", not flood["errors"]
