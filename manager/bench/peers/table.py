"""The results as a table for people."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from manager.bench.peers.results import Result, spelled

COLUMNS = (
    "engine", "operating point", "added FNIR", "recall@10", "QPS", "ours ×", "build s", "÷ ours", "bytes a vector", "mapped",
)  # fmt: skip


def table(results: list[Result], target: float) -> Table:
    """One table of one regime: figures at equal added FNIR, ratios within the run."""
    first = results[0]
    shown = Table(title=f"{first.regime}, {first.rows:,} rows, added FNIR ≤ {target:g}", title_justify="left")
    for name in COLUMNS:
        shown.add_column(name, justify="left" if name in COLUMNS[:2] else "right")
    ours = next((one for one in results if one.engine == "ours"), None)
    for one in results:
        shown.add_row(*_cells(one, ours))
    notes = [_note(one) for one in results]
    shown.caption = Text("\n".join(note for note in notes if note), justify="left")
    shown.caption_justify = "left"
    return shown


def _cells(one: Result, ours: Result | None) -> list[str]:
    if one.judged is None:
        return [one.engine, Text(one.status, style="yellow").plain]
    figures, memory = one.judged.figures, one.memory
    mark = "" if one.judged.passed else " *" if one.judged.resolvable else " ?"
    built = one.build.get("build_s", 0.0)
    per_ours = ours.build.get("build_s", 0.0) if ours is not None else 0.0
    return [
        one.engine, spelled(one.judged.point), f"{figures.added_fnir:.4f}{mark}", f"{figures.recall_at_10:.4f}",
        f"{one.qps:,.0f}" if one.qps else "", f"{one.ratio:.2f}" if one.ratio else "",
        f"{built:,.1f}{' †' if one.from_earlier else ''}", f"{built / per_ours:.1f}" if per_ours else "",
        f"{memory.anonymous / one.rows:,.0f}" if memory else "", f"{memory.mapped / one.rows:,.0f}" if memory else "",
    ]  # fmt: skip


def _note(one: Result) -> str:
    """What a figure alone would not say."""
    said = f"{one.engine}: {one.recipe}" if one.recipe else one.engine
    if one.judged is None:
        return f"{said}: {one.status}"
    if one.status != "ok":
        said += f"; {one.status}"
    if not one.judged.passed:
        figures = one.judged.figures
        said += f"; no point passes, this is its best: {figures.lost} of {figures.probes} mates lost, "
        said += f"recall@10 {figures.recall_at_10:.3f}"
        said += "" if one.judged.resolvable else " (too few probes to tell)"
    return said + ("; † build time of an earlier run" if one.from_earlier else "")
