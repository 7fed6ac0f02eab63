"""`lim labels`: which labels are published, which versions a label has."""

from __future__ import annotations

import click

from configs.cli import Context
from manager.commands.printing import print_json, print_table, share, when
from manager.remote import Json, Remote, part


@click.command()
@click.argument("label", required=False)
@click.option("--prefix", default="", help="Only labels that begin so.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(0), help="Most labels; 0 = all.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def labels(context: Context, label: str | None, prefix: str, limit: int, as_json: bool) -> None:
    """Show published labels with the index that serves, or the versions of LABEL with their figures."""
    remote = Remote.of(context.settings)
    if label is not None:
        view = remote.call("GET", f"/labels/{part(label)}")
        if as_json:
            print_json(view)
        else:
            _show_label(view)
        return
    rows = list(remote.pages("/labels", "labels", {"prefix": prefix}, limit))
    if as_json:
        print_json({"labels": rows})
        return
    heads = ("label", "index that serves", *FIGURES, "versions", "alarms")
    print_table(heads, ((row["label"], *_index(row["index"]), row["versions"], _alarms(row)) for row in rows))


FIGURES = ("built", "rows", "MB", "recipe", "recall@10", "added FNIR", "ms")


def _show_label(view: Json) -> None:
    rows = []
    for version in view["versions"]:
        served = "serves" if version["serves"] else "served before" if version["index_id"] in view["previous"] else ""
        rows.append((*_index(version), served, ", ".join(sorted(version["held_by"])), version["problem"]))
    print_table(("index", *FIGURES, "", "held by", "problem"), rows, view["label"])
    for alarm in view["alarms"]:
        click.echo(f"alarm: {alarm['text']}")


def _index(index: Json | None) -> tuple[object, ...]:
    if index is None:
        return ("",) * (1 + len(FIGURES))
    figures = index["figures"]
    if figures is None:
        return (index["index_id"], *("",) * len(FIGURES))
    return (
        index["index_id"], when(figures["created"]), figures["rows"], f"{figures['nbytes'] / 1e6:,.1f}", figures["recipe"],
        share(figures["recall_at_10"]), share(figures["added_fnir"]), share(figures["latency_ms"]),
    )  # fmt: skip


def _alarms(row: Json) -> str:
    return ", ".join(sorted({alarm["kind"] for alarm in row["alarms"]}))
