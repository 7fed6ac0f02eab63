"""Two versions of a label side by side: figures with a verdict, curves over each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from manager.pages.curves import Chart, Curve, Drawn, drawn
from pipeline.notebooks.comparing import Change, changes, remarks
from pipeline.notebooks.table import count, nbytes
from pipeline.quality.reading import Report

LEAST_SHARE = 1e-5
"""Where a share of zero is drawn on a logarithmic axis, as in report.html."""


@dataclass(frozen=True, slots=True)
class Cost:
    """A figure that is counted, or timed once, hence without an interval."""

    figure: str
    before: str
    after: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the page shows."""

    changes: list[Change]
    costs: list[Cost]
    remarks: list[str]
    """Why figures may differ although neither index is to blame."""
    charts: list[Drawn]


def compared(before: Report, after: Report) -> Comparison:
    """The two, `after` being the one that is judged."""
    return Comparison(
        changes(before, after),
        list(_costs(before, after)),
        remarks(before, after),
        [drawn(chart) for chart in (_errors(before, after), _losses(before, after), _speeds(before, after))],
    )


def _costs(before: Report, after: Report) -> Iterator[Cost]:
    """Less is better, but for requests a second."""
    figures: tuple[tuple[str, Callable[[Report], float | None], Callable[[float], str], int], ...] = (
        ("rows", lambda one: one.manifest.count, lambda value: f"{value:,.0f}", 0),
        ("memory of its own", lambda one: sum(part.memory.anonymous for part in one.manifest.shards), nbytes, -1),
        ("files", lambda one: sum(file.nbytes for part in one.manifest.shards for file in part.files), nbytes, -1),
        ("predicted µs a request", lambda one: chosen(one).get("cost_us"), count, -1),
        ("single request, p50 ms", lambda one: _speed(chosen(one), 1, "p50_ms"), count, -1),
        ("single request, p99 ms", lambda one: _speed(chosen(one), 1, "p99_ms"), count, -1),
        ("requests/s in batches of 256", lambda one: _speed(chosen(one), 256, "qps"), count, 1),
    )
    for name, figure, shown, way in figures:
        first, second = figure(before), figure(after)
        told, told_after = ("–" if one is None else shown(one) for one in (first, second))
        yield Cost(name, told, told_after, _verdict(first, second, way))


def _verdict(first: float | None, second: float | None, way: int) -> str:
    """Within a tenth nothing is said: speeds are measured once, on whatever machine it was."""
    if first is None or second is None or not way:
        return ""
    if abs(second - first) <= 0.1 * max(first, second):
        return "about the same"
    return "better" if (second > first) == (way > 0) else "worse"


def chosen(report: Report) -> dict[str, Any]:
    """The operating point that was published; {} where the report's curve lacks it."""
    point, name = report.manifest.point, report.data["decision"]["name"]
    wanted = (name, point.nprobe, point.rerank)
    return next((one for one in report.curve if (one["name"], one["nprobe"], one["rerank"]) == wanted), {})


def _speed(point: dict[str, Any], batch: int, figure: str) -> float | None:
    measured: dict[str, Any] = next((one for one in point.get("speeds", ()) if one["batch"] == batch), {})
    return measured.get(figure)


def _both(before: Report, after: Report, points: Callable[[Report], list[tuple[float, float]]],
          ring: Callable[[Report], list[tuple[float, float]]] = lambda _: []) -> tuple[Curve, ...]:  # fmt: skip
    pairs = (("before", before), ("after", after))
    return tuple(Curve(side, points(report), ring(report)) for side, report in pairs)


def _errors(before: Report, after: Report) -> Chart:
    def points(report: Report) -> list[tuple[float, float]]:
        return list(zip(report.det.fpir_index.tolist(), report.det.fnir_index.tolist(), strict=True))

    return Chart(
        name="errors", title="Misses against false alarms", across="FPIR", up="FNIR", curves=_both(before, after, points),
        about="Share of mates that are missed, for each share of strangers that raise an alarm: lower is better. "
              "The dotted line stands at the FPIR that thresholds are set for.",
        standing=float(after.data["decision"]["quality"]["fpir"]),
    )  # fmt: skip


def _losses(before: Report, after: Report) -> Chart:
    def place(one: dict[str, Any]) -> list[tuple[float, float]]:
        cost = one.get("batch_us", one.get("cost_us"))
        return [(float(cost), max(float(one["added_fnir_bound"]), LEAST_SHARE))] if cost else []

    def points(report: Report) -> list[tuple[float, float]]:
        return [found for one in report.curve for found in place(one)]

    return Chart(
        name="losses", title="What each operating point loses, and its time", across="µs a request",
        up="added FNIR, bound", is_line=False, lying=float(after.data["decision"]["quality"]["target"]),
        curves=_both(before, after, points, lambda one: place(chosen(one))),
        about="Each operating point that was tried: further left is faster, lower loses less. "
              "The dotted line lies at the target, a ring marks what was published.",
    )  # fmt: skip


def _speeds(before: Report, after: Report) -> Chart:
    def place(one: dict[str, Any]) -> list[tuple[float, float]]:
        qps = _speed(one, 256, "qps")
        return [(qps, float(one["recall_at_10"]))] if qps else []

    def points(report: Report) -> list[tuple[float, float]]:
        return [found for one in report.curve for found in place(one)]

    return Chart(
        name="speeds", title="Recall and throughput", across="requests a second, in batches of 256", up="recall@10",
        is_log_up=False, most=1.0, is_line=False, curves=_both(before, after, points, lambda one: place(chosen(one))),
        about="Each operating point whose speed was measured: further right is faster, higher finds more. "
              "A ring marks what was published.",
    )  # fmt: skip
