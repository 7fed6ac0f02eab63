"""The command `lim gc`: removes old versions with what dead builds left, or says what it would remove."""

from __future__ import annotations

import asyncio
import json
import time

import click

from configs.cli import Context
from configs.settings import Settings
from manager.connecting import connect, url_of
from manager.matchers import Matchers
from manager.retention import inventory
from manager.retention.facts import Decision
from manager.retention.retention import Retention
from manager.tasks.tasks import Tasks
from pipeline.artifact import open_store

UNITS = ("B", "kB", "MB", "GB", "TB")


@click.command("gc")
@click.option("--label", default="", help="Look at this label alone; empty = at all.")
@click.option("--dry-run", is_flag=True, help="Remove nothing, say what would be.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: an object with every decision.")
@click.pass_obj
def gc(context: Context, label: str, dry_run: bool, as_json: bool) -> None:
    """Remove old versions of labels and what dead builds left.

    Kept are the last manager.keep versions of each label, younger ones than manager.keep_s, whatever serves or served
    before, and all that a matcher, a task or a running build needs.  Every decision is explained.
    """
    made = asyncio.run(_gc(context.settings, label, dry_run))
    gone = [one for one in made if one.goes]
    nbytes = sum(one.thing.nbytes for one in gone)
    if as_json:
        figures = {"dry_run": dry_run, "removed": len(gone), "kept": len(made) - len(gone), "nbytes": nbytes}
        click.echo(json.dumps({**figures, "decisions": [one.to_json() for one in made]}, indent=2))
        return
    for one in made:
        verb = "keeps" if not one.goes else "would remove" if dry_run else "removed"
        click.echo(f"{verb} {one.thing.prefix} ({one.thing.kind}, {_size(one.thing.nbytes)}): {one.why}")
    click.echo(f"{'would remove' if dry_run else 'removed'} {len(gone)} of {len(made)}, {_size(nbytes)}")


async def _gc(settings: Settings, label: str, dry_run: bool) -> list[Decision]:
    store = open_store(settings.storage.bucket, settings.storage)
    tasks, matchers = connect(url_of(settings), tries=1), connect(settings.redis.url, text=False, tries=1)
    retention = Retention(settings.manager, store, Tasks(tasks, settings.manager), Matchers(matchers))
    try:
        # a dry run writes nothing, so that it has to believe this machine's clock
        now = time.time() if dry_run else await asyncio.to_thread(inventory.clock, store)
        made = await retention.decisions(now, label, explain=True)
        if dry_run:
            return made
        return [await retention.carry_out(one) if one.goes else one for one in made]
    finally:
        await tasks.aclose()
        await matchers.aclose()


def _size(nbytes: float) -> str:
    for unit in UNITS[:-1]:
        if nbytes < 999.5:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:.3g} {UNITS[-1]}"
