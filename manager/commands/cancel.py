"""`lim cancel`: ends tasks, whether they wait or are being built."""

from __future__ import annotations

import click

from configs.cli import Context
from manager.commands.following import FAILED, TIMED_OUT, follow, is_open, outcome
from manager.commands.printing import print_json
from manager.remote import Json, Refused, Remote, part


@click.command(
    epilog="Exit codes: 0 done, 1 one of them could not be cancelled, 2 wrong usage, 3 it ended otherwise, 5 --timeout is over."
)
@click.argument("task_ids", nargs=-1, required=True, metavar="TASK_ID...")
@click.option("--wait", is_flag=True, help="Wait until their builds have ended.")
@click.option("--timeout", default=0.0, type=click.FloatRange(0), help="Seconds to wait at most; 0 = for ever.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def cancel(context: Context, task_ids: tuple[str, ...], wait: bool, timeout: float, as_json: bool) -> int:
    """End tasks: at once while they wait, within moments while they are being built."""
    remote = Remote.of(context.settings)
    found: dict[str, Json] = {}
    errors: dict[str, Refused] = {}
    for task_id in task_ids:
        try:
            found[task_id] = remote.call("DELETE", f"/tasks/{part(task_id)}")
        except Refused as error:
            if error.status in (401, 403):
                raise
            errors[task_id] = error
    if wait and found:
        found = {task["task_id"]: task for task in follow(remote, list(found), timeout)}
    if as_json:
        refused = [{"task_id": one, "error_code": why.error_code, "detail": str(why)} for one, why in errors.items()]
        print_json({"tasks": list(found.values()), "errors": refused})
    else:
        for task in found.values():
            click.echo(
                f"{task['label']}: task {task['task_id']} is being ended" if task["cancelling"] else outcome(task)
            )
    for refusal in errors.values():
        click.echo(f"error: {refusal}", err=True)
    if errors:
        return 1
    if not wait or all(task["status"] == "cancelled" for task in found.values()):
        return 0
    return TIMED_OUT if any(map(is_open, found.values())) else FAILED
