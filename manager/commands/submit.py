"""`lim submit`: has a list indexed by whoever leads."""

from __future__ import annotations

import getpass
import uuid
from typing import Any

import click

from configs.cli import Context
from manager.commands.following import EXITS, exit_code, follow, outcome
from manager.commands.printing import print_json
from manager.errors import AlreadyIndexed, TaskExists
from manager.remote import Json, Refused, Remote, part, patiently
from pipeline.order import from_anywhere

PATIENCE_S = 10.0
"""How long a submission is sent again while nobody answers for it: with the same id it happens once."""


def _options(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for value in values:
        key, sign, text = value.partition("=")
        if not sign:
            raise click.BadParameter(f"expected section.field=value, got {value!r}")
        found[key] = text
    return found


@click.command(epilog=EXITS)
@click.argument("label")
@click.option(
    "--source", default="", help="Where its descriptors are; without, where source.template of the managers says."
)
@click.option("--probes", default="", help="Labelled photos of the same people to measure with; without, pseudo-mates.")
@click.option(
    "--option", "options", multiple=True, callback=_options, metavar="SECTION.FIELD=VALUE",
    help="A setting of build, quality, source or images for this index; may be repeated.",
)  # fmt: skip
@click.option("--priority", default=0, show_default=True, help="Higher goes first.")
@click.option("--task-id", default="", help="The id of the task and its index; the same again is the same task.")
@click.option("--again", is_flag=True, help="Build even what the newest index holds already.")
@click.option("--wait", is_flag=True, help="Wait until it has ended.")
@click.option("--timeout", default=0.0, type=click.FloatRange(0), help="Seconds to wait at most; 0 = for ever.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: the task, and `already` (queued, indexed or null).")
@click.pass_obj
def submit(context: Context, /, label: str, **options: Any) -> int:
    """Have LABEL indexed; what waits already, or is indexed already, is not submitted twice, and that is no error."""
    remote = Remote.of(context.settings)
    asked = {name: options[name] for name in ("source", "probes", "options", "priority", "again")}
    asked |= {name: from_anywhere(options[name]) for name in ("source", "probes")}  # the managers' folder is another
    body = {"list_id": label, **asked, "task_id": options["task_id"] or str(uuid.uuid4()), "submitted_by": _who()}
    remote.call("GET", "/version")  # whether there is a manager at all is known at once
    task_id, already = _submitted(remote, body)
    waits = options["wait"] and already != "indexed"
    tasks = follow(remote, [task_id], options["timeout"]) if waits else [_known(remote, task_id, label)]
    if options["as_json"]:
        print_json({**tasks[0], "already": already})
    elif already == "indexed":
        click.echo(f"{label}: index {task_id} holds this content already: --again builds it once more")
    elif waits:
        click.echo(outcome(tasks[0]))
    else:
        said = "waits or is being built already as" if already else "waits as"
        click.echo(f"{label}: {said} task {task_id}: `lim tasks {task_id} --wait` follows it")
    return exit_code(tasks) if waits else 0


def _submitted(remote: Remote, body: Json) -> tuple[str, str | None]:
    """The task's id, with what was there already."""
    try:
        return str(patiently(lambda: remote.call("POST", "/tasks", body=body), PATIENCE_S)["task_id"]), None
    except Refused as error:
        if error.task_id and error.error_code in (TaskExists.error_code, AlreadyIndexed.error_code):
            return error.task_id, "queued" if error.error_code == TaskExists.error_code else "indexed"
        raise


def _known(remote: Remote, task_id: str, label: str) -> Json:
    """The task; what is left of it where it ended so long ago that it was forgotten."""
    try:
        return dict(remote.call("GET", f"/tasks/{part(task_id)}"))
    except Refused as error:
        if error.status != 404:
            raise
        return {"task_id": task_id, "label": label, "status": "success"}


def _who() -> str:
    try:
        return f"lim submit ({getpass.getuser()})"[:100]
    except (OSError, KeyError):  # no name for this user
        return "lim submit"
