"""Replies of scripts: a task, or why something is not done."""

from __future__ import annotations

from typing import Any, NoReturn

from manager.errors import AlreadyIndexed, IdTaken, NoSuchTask, StaleLeader, TaskExists, TaskOver
from manager.tasks.task import Task


def read(flat: list[str]) -> Task:
    """A task from the names and values of its hash."""
    return Task.from_redis(dict(zip(flat[::2], flat[1::2], strict=True)))


def task(reply: list[Any], task_id: str) -> Task:
    """The task that a script answers with; raises what it answers instead."""
    if reply[0] != "task":
        refuse(reply, task_id)
    return read(reply[1])


def refuse(reply: list[Any], task_id: str) -> NoReturn:
    """Raise TaskError for a reply that is not what was asked for."""
    word, *rest = reply
    if word == "stale":
        raise StaleLeader(
            f"the leader's fence: expected {rest[0]} or newer, as another manager leads; this one leads no more"
        )
    if word == "unknown":
        raise NoSuchTask(f"task {task_id}: expected one that waits, runs or ended within manager.history_s, got none")
    if word == "over":
        raise TaskOver(f"task {task_id}: it is in the state {rest[0]!r}, from which what was asked for cannot happen")
    if word == "taken":
        raise IdTaken(
            f"task_id {task_id}: another task has it, of another list or content: leave it out, or take another"
        )
    if word == "exists":
        raise TaskExists(f"task {rest[0]} waits or is being built with the same list, content and options", rest[0])
    if word == "indexed":
        raise AlreadyIndexed(
            f"index {rest[0]}, the newest of its label, holds this content: ask again with `again` to build all the same",
            rest[0],
        )
    raise RuntimeError(f"task {task_id}: a script answered {word!r}")
