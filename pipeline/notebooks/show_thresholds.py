"""What thresholds.ipynb shows."""

from __future__ import annotations

from bokeh.models import Span

from pipeline.notebooks.operating import Day, Needed, Traffic, Wish, rates_at
from pipeline.notebooks.picture import Picture, drawn
from pipeline.notebooks.rehearsal import Rehearsal
from pipeline.notebooks.table import Table, between, count, share
from pipeline.quality.canvas import IMPOSTOR, INK, MATE, empty, tidied
from pipeline.quality.reading import Report


def thresholds(report: Report) -> Table:
    """A row per FPIR: the threshold, what exact search and the index miss there."""
    rows = []
    for one in report.thresholds:
        ends = one["intervals"]
        if not one["resolvable"]:
            rows.append((f"{one['fpir']:g}", *["–"] * 6, "too few non-mates to tell"))
            continue
        rows.append((
            f"{one['fpir']:g}", f"{one['threshold']:.4f}", share(one["fpir_index"]), between(ends["fpir_index"]),
            share(one["fnir_index"]), between(ends["fnir_index"]), share(one["added_fnir"]),
            "the index was gated here" if one["fpir"] == report.data["decision"]["quality"]["fpir"] else "",
        ))  # fmt: skip
    columns = ("FPIR", "threshold", "measured FPIR", "interval", "FNIR", "interval of it", "added FNIR", "")
    return Table(columns, tuple(rows))


def day_table(rows: list[Day]) -> Table:
    """False alarms and missed mates a day at each threshold."""
    columns = ("FPIR", "threshold", "false alarms a day", "interval", "missed mates a day", "interval of it")
    return Table(
        columns,
        tuple(
            (
                f"{one.fpir:g}", f"{one.threshold:.4f}", count(one.alarms),
                f"{count(one.alarms_between[0])} – {count(one.alarms_between[1])}", count(one.misses),
                f"{count(one.misses_between[0])} – {count(one.misses_between[1])}",
            )
            for one in rows
        ),
    )  # fmt: skip


def wish_table(one: Wish, traffic: Traffic, alarms: float) -> Table:
    """The threshold that keeps false alarms within a number a day, or what is missing to name one."""
    missing = f"none: measure with at least {one.non_mates_needed:,} non-mates"
    said = missing if one.threshold is None else f"{one.threshold:.4f}"
    rows = (
        ("searches a day for people not in the list", count(traffic.others)),
        ("false alarms a day that are allowed", count(alarms)),
        ("hence highest FPIR", share(one.fpir)),
        ("threshold", said),
        (
            "bound of the FPIR there" if one.threshold is not None else "bound at the strictest threshold",
            share(one.bound),
        ),
        ("FNIR there", f"{share(one.fnir_index)} ({between(one.fnir_between)})"),
        ("non-mates measured with", f"{one.non_mates:,}"),
    )
    return Table(("question", "answer"), rows)


def needed_table(rows: list[Needed]) -> Table:
    """How many non-mates each FPIR takes."""
    columns = ("FPIR", "to see one alarm", "to bound it", "to measure it", "this list's are enough for")
    return Table(
        columns,
        tuple(
            (f"{one.fpir:g}", f"{one.to_see:,}", f"{one.to_bound:,}", f"{one.to_measure:,}", one.enough_for)
            for one in rows
        ),
    )


def trade(report: Report, traffic: Traffic, at: float) -> Picture:
    """False alarms and missed mates a day against the threshold, with one threshold marked."""
    plot = empty("threshold", "a day", y_axis_type="log")
    for values, times, name, colour in (
        (report.det.fpir_index, traffic.others, "false alarms", IMPOSTOR),
        (report.det.fnir_index, traffic.searches * traffic.mated, "missed mates", MATE),
    ):
        pairs = zip(report.det.thresholds.tolist(), (values * times).tolist(), strict=True)
        kept = [(x, y) for x, y in pairs if x > -1 and y > 0]
        plot.line([one[0] for one in kept], [one[1] for one in kept], color=colour, line_width=2, legend_label=name)
    plot.add_layout(Span(location=at, dimension="height", line_dash="dashed", line_color=INK))
    return drawn(tidied(plot), f"A day of {traffic.searches:,.0f} searches")


def rehearsal_table(tried: Rehearsal, promised: Report) -> Table:
    """What came of searching the index for its own rows, beside what the report promises at that threshold."""
    said, labelled = rates_at(promised, tried.threshold), tried.mated > 0
    missed = (share(tried.missed / tried.mated), between(tried.fnir_between)) if labelled else ("–", "–")
    rows = [
        (
            "FPIR", share(tried.fpir), between(tried.fpir_between), share(said.fpir), between(said.fpir_between),
            _agrees(tried.fpir_between, said.fpir_between),
        ),
        (
            "FNIR", *missed, share(said.fnir), between(said.fnir_between),
            _agrees(tried.fnir_between, said.fnir_between) if labelled else "no person has two rows",
        ),
    ]  # fmt: skip
    notes = (
        f"Threshold {tried.threshold:.4f}; {tried.searches:,} searches, {tried.mated:,} of people with another row.",
    )
    columns = ("figure", "tried now", "interval", "reported", "interval of it", "")
    return Table(columns, tuple(rows), notes)


def _agrees(tried: tuple[float, float], reported: tuple[float, float]) -> str:
    if tried[0] > reported[1]:
        return "more than reported"
    return "less than reported" if tried[1] < reported[0] else "agrees"


def pairs_table(tried: Rehearsal) -> Table:
    """The most similar rows that are not known to be of one person."""
    rows = tuple(
        (one.row, one.other, f"{one.similarity:.3f}", "above" if one.similarity >= tried.threshold else "below")
        for one in tried.pairs
    )
    return Table(("row", "nearest row of somebody else", "similarity", "the threshold"), rows)
