"""`lim recover`: lets an emptied Redis know again what lies in the bucket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict

import click

from configs.cli import Context
from configs.settings import Settings
from manager.connecting import connect, url_of
from manager.recovering.finding import Bucket, Found
from manager.recovering.restoring import Restored, restore
from pipeline.artifact import open_store

WORDS = {
    "restored": "restored",
    "there": "known already",
    "newer": "left, as Redis knows of a newer index",
    "old": "left out, as they ended longer ago than manager.history_s",
}


@click.command()
@click.option(
    "--interrupted", is_flag=True, help="Queue the builds that were interrupted as well; they go on where they were."
)
@click.option("--dry-run", is_flag=True, help="Say what lies in the bucket, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def recover(context: Context, interrupted: bool, dry_run: bool, as_json: bool) -> int:
    """Let an emptied Redis know again which indexes are published, of which content, and when.

    Heads lie in the bucket alone and are not touched.  What Redis knows stays as it is, so that this may be done again,
    and while managers run.  Exit code 1: something in the bucket could not be read, which is named.
    """
    settings = context.settings
    found = Bucket(open_store(settings.storage.bucket, settings.storage), settings).read()
    done = Restored() if dry_run else asyncio.run(_restored(settings, found, interrupted))
    if as_json:
        click.echo(json.dumps(_shown(found, None if dry_run else done), indent=1))
    else:
        click.echo("\n".join(_lines(found, None if dry_run else done, interrupted)))
    return 1 if found.problems else 0


async def _restored(settings: Settings, found: Found, interrupted: bool) -> Restored:
    async with connect(url_of(settings), tries=3) as redis:
        return await restore(redis, settings.manager, found, interrupted=interrupted)


def _shown(found: Found, done: Restored | None) -> dict[str, object]:
    bucket = {
        "serving": found.serving,
        "indexes": [task.task_id for task in found.published],
        "interrupted": [task.task_id for task in found.interrupted],
        "fence": found.fence,
        "problems": found.problems,
    }
    return {"bucket": bucket, "redis": None if done is None else asdict(done)}


def _lines(found: Found, done: Restored | None, interrupted: bool) -> Iterator[str]:
    yield (
        f"the bucket has {len(found.serving):,} labels with {len(found.published):,} indexes and "
        f"{len(found.interrupted):,} interrupted builds of managers"
    )
    yield from (f"not read: {problem}" for problem in found.problems)
    if done is None:
        return
    yield f"newest index of each label: {_counted(done.labels)}"
    yield f"history of published indexes: {_counted(done.history)}"
    known, newest = done.fence
    yield f"leaders' token: {newest:,}" + (f", Redis knew {known:,}" if known != newest else ", known already")
    if done.queued:
        yield f"interrupted builds that wait again: {', '.join(done.queued)}"
    yield from (f"not queued: {reason}" for reason in done.not_queued.values())
    if found.interrupted and not interrupted:
        yield "interrupted builds were left: `lim recover --interrupted` queues them, and they go on where they were"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {WORDS[word]}" for word, count in sorted(counts.items())) or "none"
