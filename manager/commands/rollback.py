"""`lim rollback`: lets another version of a label serve."""

from __future__ import annotations

import click

from configs.cli import Context
from manager.commands.printing import print_json
from manager.remote import Json, Remote, RemoteError, part


class NoVersion(RemoteError):
    """There is no version to roll back to."""


@click.command()
@click.argument("label")
@click.option("--to", "index_id", default="", help="The version; without, the one that served before.")
@click.option("--dry-run", is_flag=True, help="Say what would serve, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: the label's new view, with what served before.")
@click.pass_obj
def rollback(context: Context, label: str, index_id: str, dry_run: bool, as_json: bool) -> None:
    """Let another version of LABEL serve, an older or a newer one; matchers load it within moments, without a gap."""
    remote = Remote.of(context.settings)
    where = f"/labels/{part(label)}"
    view = remote.call("GET", where)
    before, target = view["index_id"], index_id or _earlier(view)
    if target != before and not dry_run:
        view = remote.call("POST", f"{where}/head", body={"index_id": target})
    if as_json:
        print_json({"dry_run": dry_run, "served": before, "serves": target, **view})
    elif target == before:
        click.echo(f"{label}: {target} serves already")
    else:
        click.echo(f"{label}: {target} {'would serve' if dry_run else 'serves'} instead of {before}")


def _earlier(view: Json) -> str:
    """The newest version that served before and is there still."""
    there = {version["index_id"] for version in view["versions"]}
    for one in view["previous"]:
        if one in there and one != view["index_id"]:
            return str(one)
    raise NoVersion(
        f"{view['label']}: expected a version that served before {view['index_id']}, found none that is there still: "
        f"`lim labels {view['label']}` lists all, --to chooses one"
    )
