"""Which things go: pure rules, each with its reason in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from manager.retention.facts import Circumstances, Decision, Thing
from pipeline.pages.figures import span


def decide(things: Iterable[Thing], known: Circumstances) -> list[Decision]:
    """A decision on each thing: versions label by label, newest first, then all others."""
    versions: dict[str, list[Thing]] = defaultdict(list)
    others = []
    for thing in things:
        if thing.kind == "version":
            versions[thing.label].append(thing)
        else:
            others.append(thing)
    made = [one for label in sorted(versions) for one in _of_label(label, versions[label], known)]
    alive = {
        (one.label, one.index_id) for one in others if one.kind == "work" and known.now - one.newest < known.orphan_s
    }
    for thing in others:
        why = _segment_stays(thing, known) if thing.kind == "segment" else _stays(thing, known, alive)
        age = f"nothing was written to it for {span(known.now - thing.newest)}, kept are {span(known.orphan_s)}"
        made.append(Decision(thing, not why, why or f"left by a build or a writer that died: {age}"))
    return made


def _of_label(label: str, versions: Sequence[Thing], known: Circumstances) -> Iterable[Decision]:
    ordered = sorted(versions, key=lambda one: (one.created, one.published), reverse=True)
    there = {one.index_id for one in ordered}
    head = known.heads.get(label)
    before = next((one for one in head.previous if one in there), "") if head else ""
    for rank, thing in enumerate(ordered, 1):
        why = _needed(thing, before, known) or _recent(thing, rank, known)
        said = (
            f"it is number {rank} by age, kept are {known.keep}, and {span(known.now - thing.published)} old, kept are "
        )
        yield Decision(thing, not why, why or said + span(known.keep_s))


def _needed(thing: Thing, before: str, known: Circumstances) -> str:
    """Why a version stays whatever its age; empty where nothing says so."""
    label, index_id = thing.label, thing.index_id
    head = known.heads.get(label)
    if label in known.heads and head is None:
        return "the head of its label cannot be read, so that nobody knows what serves"
    if head is not None and head.index_id == index_id:
        return "it serves"
    if index_id == before:
        return "it served before the one that serves: a roll back needs it"
    if known.asked.get(label) == index_id:
        return "requests still go to it"
    if who := known.used.get((label, index_id)):
        return f"held or being loaded by {', '.join(who)}"
    if status := known.open_tasks.get(index_id):
        return f"its task is {status}"
    return ""


def _recent(thing: Thing, rank: int, known: Circumstances) -> str:
    if rank <= known.keep:
        return f"it is one of the newest {known.keep}"
    age_s = known.now - thing.published
    return f"it is {span(max(age_s, 0.0))} old, younger than {span(known.keep_s)}" if age_s < known.keep_s else ""


def _stays(thing: Thing, known: Circumstances, alive: set[tuple[str, str]]) -> str:
    """Why an unfinished index or a work folder stays; empty where nothing says so."""
    if status := known.open_tasks.get(thing.index_id):
        return f"the task of its build is {status}"
    if thing.kind == "unfinished" and (thing.label, thing.index_id) in alive:
        return "a build that may be running is working on it"
    age_s = known.now - thing.newest
    if age_s < known.orphan_s:
        return f"something was written to it {span(max(age_s, 0.0))} ago: its build may be running"
    return ""


def _segment_stays(thing: Thing, known: Circumstances) -> str:
    """Why a segment of a log of changes stays: only those that the head lists count, or a writer may list it yet."""
    head = known.heads.get(thing.label)
    if head is None:
        return "its label has no head that can be read, so that nobody knows whether it counts"
    if any(segment.key == thing.prefix for segment in head.segments):
        return "the head lists it"
    age_s = known.now - thing.newest
    if age_s < known.orphan_s:
        return f"it was written {span(max(age_s, 0.0))} ago: its writer may be about to list it"
    return ""
