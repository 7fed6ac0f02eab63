"""What quality.ipynb shows of one index, or of two."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bokeh.models import Span

from pipeline.artifact import Store, read_head, read_manifest
from pipeline.notebooks.comparing import FIGURES, Change, changes, remarks
from pipeline.notebooks.picture import Picture, drawn
from pipeline.notebooks.table import Table, between, count, nbytes, share
from pipeline.quality.canvas import INK, MATE, empty, tidied
from pipeline.quality.plots import Plots
from pipeline.quality.reading import Report

EARLIER = "#d97706"
"""Colour of the version that is compared with."""

TITLES = {
    "det": "Misses against false alarms",
    "histogram": "Similarities of mates and of nearest impostors",
    "loss": "What each operating point loses, and its time",
    "recall": "Recall and throughput",
}


def versions(store: Store, label: str) -> Table:
    """The indexes of a label that its head knows, newest first."""
    head = read_head(store, label)[0]
    rows = []
    for index_id in (head.index_id, *head.previous):
        manifest = read_manifest(store, label, index_id)
        quality = manifest.quality
        rows.append((
            index_id, manifest.created, f"{manifest.count:,}", manifest.recipe, share(quality.get("added_fnir", 0.0)),
            share(quality.get("exact_fnir", 0.0)), "serves" if index_id == head.index_id else "",
        ))  # fmt: skip
    columns = ("index", "built at", "rows", "recipe", "added FNIR", "FNIR of exact search", "")
    return Table(columns, tuple(rows))


def overview(report: Report) -> Table:
    """The verdict with the figures of the half of the probes that had no part in choosing."""
    decision, manifest = report.data["decision"], report.manifest
    quality, ends = decision["quality"], decision["intervals"]
    names = [(key, name) for key, name, _ in FIGURES]
    anonymous, mapped = (sum(getattr(one.memory, name) for one in manifest.shards) for name in ("anonymous", "mapped"))
    rows = [
        ("rows, dimensions", f"{manifest.count:,} × {manifest.descriptor.dim}", ""),
        ("recipe", f"{manifest.recipe}, {manifest.point.nprobe} probed, {manifest.point.rerank} re-ranked", ""),
        ("memory of its own, mapped", f"{nbytes(anonymous)}, {nbytes(mapped)}", ""),
        ("threshold", f"{quality['threshold']:.4f}", ""),
        *((name, share(quality[key]), between(ends[key])) for key, name in names),
        ("target of added FNIR, bound", f"{quality['target']:g}, {share(quality['added_fnir_bound'])}", ""),
        ("mated probes, non-mates", f"{quality['probes']:,}, {quality['non_mates']:,}", ""),
    ]
    notes = f"Verdict: {decision['reason']}.", f"Mated probes: {report.probes['mated']}."
    return Table(("figure", "value", f"{quality['confidence']:.0%} interval"), tuple(rows), notes)


def pictures(report: Report) -> dict[str, Picture]:
    """`det`, `histogram`, `loss` and `recall`, as in report.html, but still."""
    decision = report.data["decision"]
    plots = Plots(
        curve=report.curve, chosen={"name": decision["name"], **asdict(report.manifest.point)}, det=report.data["det"],
        histograms=report.data["histograms"], threshold=decision["quality"]["threshold"],
        target=decision["quality"]["target"], fpir=decision["quality"]["fpir"],
    )  # fmt: skip
    return {name: drawn(figure, TITLES.get(name, name)) for name, figure in plots.figures().items()}


def points(report: Report) -> Table:
    """Every operating point with what it loses and takes, cheapest first."""
    rows = []
    for one in sorted(report.curve, key=lambda one: float(one["cost_us"])):
        speeds = {each["batch"]: each for each in one.get("speeds", ())}
        single, batch = (speeds.get(size) for size in (1, 256))
        rows.append((
            one["name"], f"{one['nprobe']}", f"{one['rerank']}", f"{one['cost_us']:.0f}",
            f"{batch['qps']:,.0f}" if batch else "–", f"{single['p50_ms']:.2g}" if single else "–",
            share(one["recall_at_10"]), share(one["added_fnir"]), share(one["added_fnir_bound"]),
            "chosen" if is_chosen(report, one) else one["rejected"].partition(":")[0],
        ))  # fmt: skip
    columns = (
        "recipe", "probed", "re-ranked", "predicted µs", "requests/s, batches of 256", "single, ms", "recall@10",
        "added FNIR", "bound", "",
    )  # fmt: skip
    return Table(columns, tuple(rows))


def cohorts(report: Report) -> Table:
    """Groups of mated probes, with intervals."""
    rows = [
        (
            f"{one['by']}: {one['cohort']}", f"{one['probes']:,}", share(one["fnir_exact"]),
            between(one["intervals"]["fnir_exact"]), share(one["added_fnir"]), between(one["intervals"]["added_fnir"]),
            share(one["recall_at_10"]),
        )
        for one in report.cohorts
    ]  # fmt: skip
    columns = ("group", "probes", "FNIR, exact", "interval", "added FNIR", "interval of it", "recall@10")
    return Table(columns, tuple(rows))


def comparison(before: Report, after: Report) -> Table:
    """What got better or worse, with remarks why figures may differ although no index is to blame."""
    rows = [*map(_row, changes(before, after)), *_costs(before, after)]
    columns = ("figure", "before", "interval", "after", "interval of it", "difference", "interval of that", "verdict")
    return Table(columns, tuple(rows), tuple(f"Mind: {one}." for one in remarks(before, after)))


def _row(one: Change) -> tuple[str, ...]:
    gap = one.difference
    return (
        one.figure, share(one.before.value), between((one.before.low, one.before.high)), share(one.after.value),
        between((one.after.low, one.after.high)), signed(gap.value), f"{signed(gap.low)} – {signed(gap.high)}", one.verdict,
    )  # fmt: skip


def _costs(before: Report, after: Report) -> list[tuple[str, ...]]:
    """Figures that are counted or timed once, hence without an interval."""
    rows: list[tuple[str, ...]] = []
    for name, values in (
        ("bytes of memory a row", [_bytes_a_row(one) for one in (before, after)]),
        ("predicted µs a request", [_cost_us(one) for one in (before, after)]),
    ):
        gap = values[1] - values[0]
        verdict = "the same" if abs(gap) <= 1e-9 * values[0] else "better" if gap < 0 else "worse"
        rows.append((name, count(values[0]), "", count(values[1]), "", signed(gap), "", verdict))
    return rows


def _bytes_a_row(report: Report) -> float:
    return sum(shard.memory.anonymous for shard in report.manifest.shards) / report.manifest.count


def _cost_us(report: Report) -> float:
    return next(float(one["cost_us"]) for one in report.curve if is_chosen(report, one))


def is_chosen(report: Report, one: dict[str, Any]) -> bool:
    """Whether a point of the curve is the one that was published, be it proven or not."""
    point = report.manifest.point
    return (one["name"], one["nprobe"], one["rerank"]) == (report.data["decision"]["name"], point.nprobe, point.rerank)


def signed(value: float) -> str:
    """A difference with its sign."""
    return (
        "0"
        if value == 0
        else f"{'+' if value > 0 else '−'}{share(abs(value)) if abs(value) < 100 else count(abs(value))}"
    )


def two_curves(before: Report, after: Report) -> Picture:
    """Errors of both versions' indexes."""
    plot = empty("FPIR", "FNIR", x_axis_type="log", y_axis_type="log")
    for report, name, colour, width in ((before, "before", EARLIER, 6), (after, "after", MATE, 2)):
        pairs = zip(report.det.fpir_index.tolist(), report.det.fnir_index.tolist(), strict=True)
        kept = [(x, y) for x, y in pairs if x > 0 and y > 0]
        xs, ys = [one[0] for one in kept], [one[1] for one in kept]
        plot.line(xs, ys, color=colour, line_width=width, line_alpha=0.6 if width > 2 else 1, legend_label=name)
    fpir = after.data["decision"]["quality"]["fpir"]
    plot.add_layout(Span(location=fpir, dimension="height", line_dash="dotted", line_color=INK))
    return drawn(tidied(plot), "Misses against false alarms, before and after")
