"""`lim tasks`: what waits, what is being built, what ended how."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from configs.cli import Context
from manager.commands.following import EXITS, exit_code, follow, outcome
from manager.commands.printing import print_json, print_table, when
from manager.remote import Json, Remote, part
from manager.tasks.task import STATUSES


@click.command(epilog=EXITS)
@click.argument("task_ids", nargs=-1, metavar="[TASK_ID]...")
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Only in this state; several are possible."
)
@click.option("--label", default="", help="Only of this label.")
@click.option("--indexer", default="", help="Only what was built there.")
@click.option("--since", default="", metavar="TIME", help="Only what was submitted from then on: 2026-01-31T12:00:00Z.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(0), help="Most tasks, the newest first; 0 = all."
)
@click.option("--retry", is_flag=True, help="Let tasks that failed or were cancelled wait once more.")
@click.option("--priority", type=int, help="Give them this priority; higher goes first.")
@click.option("--wait", is_flag=True, help="Wait until they have ended.")
@click.option("--timeout", default=0.0, type=click.FloatRange(0), help="Seconds to wait at most; 0 = for ever.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def tasks(context: Context, /, task_ids: tuple[str, ...], **options: Any) -> int:
    """Show tasks: all, the newest first, or those of the given ids."""
    needs_ids = [f"--{name}" for name in ("retry", "wait", "priority") if options[name] not in (None, False)]
    if needs_ids and not task_ids:
        raise click.UsageError(f"{needs_ids[0]} is about single tasks: name their ids")
    remote = Remote.of(context.settings)
    if task_ids:
        found = [_changed(remote, one, options) for one in task_ids]
    else:
        wanted = {"statuses": ",".join(options["statuses"]), "label": options["label"], "indexer": options["indexer"],
                  "start_time__gte": options["since"]}  # fmt: skip
        found = list(remote.pages("/tasks", "tasks", wanted, options["limit"]))
    if options["wait"]:
        found = follow(remote, task_ids, options["timeout"])
    if options["as_json"]:
        print_json({"tasks": found})
    elif options["wait"]:
        for task in found:
            click.echo(outcome(task))
    elif len(task_ids) == 1:
        print_table(("task", found[0]["task_id"]), _everything(found[0]))
    else:
        heads = ("task", "label", "state", "stage", "items", "rows", "priority", "submitted", "by", "ended", "error")
        print_table(heads, map(_row, found))
    return exit_code(found) if options["wait"] else 0


def _changed(remote: Remote, task_id: str, options: dict[str, Any]) -> Json:
    where = f"/tasks/{part(task_id)}"
    found: Json | None = None
    if options["retry"]:
        found = remote.call("POST", f"{where}/retry")
    if options["priority"] is not None:
        found = remote.call("POST", f"{where}/priority", body={"priority": options["priority"]})
    return found or dict(remote.call("GET", where))


def _row(task: Json) -> tuple[object, ...]:
    progress, error = task["progress"], task["error"]
    items = f"{progress['finished']:,}/{progress['items']:,}" if progress and progress["items"] else ""
    return (
        task["task_id"], task["label"], "cancelling" if task["cancelling"] else task["status"],
        progress["stage"] if progress else "", items, task["rows"], task["priority"], when(task["create_time"]),
        task["submitted_by"], when(task["end_time"]), f"{error['error_code']} {error['desc']}" if error else "",
    )  # fmt: skip


def _everything(task: Json) -> Iterator[tuple[str, object]]:
    for name, value in task.items():
        if name.endswith("_time"):
            yield name, when(value)
        elif isinstance(value, dict):
            yield name, ", ".join(f"{key}={one}" for key, one in value.items())
        elif name != "task_id":
            yield name, value
