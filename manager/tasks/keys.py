"""Names of tasks in Redis."""

from __future__ import annotations

FENCE = "lim:fence"
"""The highest fencing token seen."""

EVENTS = "lim:tasks:events"
"""Channel that gets JSON on every change of a task: see `manager.tasks.events`."""

QUEUE = "lim:tasks:queue"
"""Sorted set of what is due, by priority, then in the order of submission: `turn:id:label`."""

LATER = "lim:tasks:later"
"""Sorted set of ids that wait for a further attempt, by the time of it."""

INDEXING = "lim:tasks:indexing"
"""Hash of label → id of what is being built."""

ALL = "lim:tasks:all"
"""Sorted set of all ids by their creation."""

ENDED = "lim:tasks:ended"
"""Sorted set of those that have ended, `id:label`, by the time at which they did."""

TURN = "lim:tasks:turn"
"""Counter of submissions, which orders the queue."""

CLAIMED = "lim:tasks:claimed"
"""Hash of the last claim: its token, the id that it got.  A claim that is repeated gets the same."""

TASK, CONTENT, BUILT, OF_STATUS, OF_LABEL = (
    "lim:task:",  # + id: hash of the task
    "lim:tasks:content:",  # + content: id while the task waits or runs
    "lim:built:",  # + label: hash of the newest index
    "lim:tasks:status:",  # + status: sorted set of ids by creation
    "lim:tasks:label:",  # + label: the same
)
"""Beginnings of names."""


def task(task_id: str) -> str:
    """The hash of a task."""
    return TASK + task_id


def built(label: str) -> str:
    """What the newest index of a label holds."""
    return BUILT + label
