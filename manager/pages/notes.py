"""Alarms as notes on a page, those of many labels together: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from manager.pages.cluster import Counts
from manager.shelf.rows import Alarm
from manager.tasks.task import Task

FEW = 3
"""Labels up to which each has a note of its own."""

NAMED = 5
"""Of more labels, so many are named."""

WARNINGS = ("drift", "not_polling")
"""Kinds of alarms that ask for a look, while everything is served."""

TOGETHER = {
    "unserved": "Of {} labels no matcher has loaded the index that is to serve: start a matcher, or give them more memory",
    "missing_shards": "Of {} labels some shards are held by no matcher: start a matcher, or give them more memory",
    "missing_index": "Of {} labels the index that is to serve is gone: roll back to another version, or build them again",
    "unreadable": "Of {} labels the index that is to serve cannot be read: roll back to another version, or build them again",
    "not_loaded": "Of {} labels a matcher cannot load the index: their pages say why",
    "drift": "Live recall of {} labels lies below what their builds measured: build them again, or roll back",
    "failed": "The newest builds of {} labels failed: try them again when what they name is put right",
}
"""By kind, what is said of several labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something that a person should look at, with the way to where it is mended."""

    text: str
    is_bad: bool = True
    labels: tuple[str, ...] = ()
    more: str = ""
    """How many labels more, as a text: 17, or 80+."""
    build: str = ""


def notes_of(alarms: Sequence[Alarm], *, whole: bool = True) -> list[Note]:
    """The alarms of bucket and matchers; `whole` = there are no more than these."""
    labels: dict[str, list[str]] = {}
    for one in alarms:
        if one.label and one.kind in TOGETHER:
            of_kind = labels.setdefault(one.kind, [])
            of_kind += [] if one.label in of_kind else [one.label]
    found, done = list[Note](), set[str]()
    for one in alarms:
        names = labels.get(one.kind, [])
        if len(names) <= FEW or not one.label:
            found.append(note_of(one, (one.label,) if one.label else ()))
        elif one.kind not in done:
            done.add(one.kind)
            found.append(_together(one.kind, names, whole=whole))
    return found


def note_of(alarm: Alarm, labels: tuple[str, ...]) -> Note:
    """One alarm, with the way to these labels."""
    is_named = alarm.label or alarm.matcher_id  # a name that the text begins with stays as it is
    text = alarm.text if is_named else capital(alarm.text)
    return Note(text=text, is_bad=alarm.kind not in WARNINGS, labels=labels)


def notes_of_failed(tasks: Sequence[Task]) -> list[Note]:
    """Builds that failed and were not made good."""
    if len(tasks) > FEW:
        return [_together("failed", [one.label for one in tasks], whole=True, is_bad=False)]
    return [
        Note(text=f"{one.label}: its newest build failed: {one.detail or one.desc}", is_bad=False, build=one.task_id)
        for one in tasks
    ]


def notes_of_workers(workers: Counts | None, counts: Mapping[str, int]) -> Iterable[Note]:
    """What the Dask cluster lacks; `counts` are tasks by state."""
    if workers is not None and workers.problem:
        yield Note(text=capital(workers.problem))
    elif workers is not None and not workers.workers and counts.get("indexing", 0) + counts.get("pending", 0):
        yield Note(text="Builds wait for workers, and none has joined the scheduler: start `lim indexer` on this machine or "
                        "another")  # fmt: skip


def capital(text: str) -> str:
    """With a capital at the beginning."""
    return text[:1].upper() + text[1:]


def _together(kind: str, names: list[str], *, whole: bool, is_bad: bool | None = None) -> Note:
    more = f"{len(names) - NAMED}{'' if whole else '+'}" if len(names) > NAMED or not whole else ""
    text = TOGETHER[kind].format(f"{len(names)}{'' if whole else ' or more'}")
    return Note(
        text=text, is_bad=kind not in WARNINGS if is_bad is None else is_bad, labels=tuple(names[:NAMED]), more=more
    )
