"""Errors of the manager, with the original's codes where it has one.

TaskError(LimError)      26200  something that is none of the others
├── TaskExists           26201  equal content waits or is being built; `.task_id` says which task
├── AlreadyIndexed       26202  the newest index holds this content; `.task_id` is that index
├── NoSuchIndex          26204  no such index in the bucket
├── NoSuchTask           26220  no task of this id, or it ended too long ago
├── TaskOver             26221  it has ended, so that what was asked for cannot happen any more
├── StaleLeader          26222  another leads by now, what this leader wanted is not done
├── BadRequest           26223  a value is missing or cannot be what it is
├── Unavailable          26224  Redis or the bucket cannot be reached for now; a repeat is harmless
├── IdTaken              26225  another task has this id
├── NoSuchLabel          26226  nothing is published for the label
├── InUse                26227  an index that serves or is being loaded is not removed
├── Unauthorised         26228  the token is missing or is not the one that was set
├── ReadOnly             26229  the token given reads only
├── NoSuchPage           26230  no such route
├── BadMethod            26231  the route knows other methods
└── Unreadable           26232  a matcher that runs cannot read the index that is to serve

How a build ended is told by the codes of `pipeline.indexer.errors`: 26103 to 26109.
"""

from __future__ import annotations

from typing import ClassVar

from configs.errors import LimError


class TaskError(LimError):
    """Something that is not done; `error_code`, `desc`, `status` are what HTTP carries."""

    error_code: ClassVar[int] = 26200
    desc: ClassVar[str] = "internal error"
    status: ClassVar[int] = 500


class OfTask(TaskError):
    """An error whose answer is a task."""

    def __init__(self, message: str, task_id: str) -> None:
        super().__init__(message)
        self.task_id = task_id


class TaskExists(OfTask):
    """Equal content waits or is being built, as `task_id`."""

    error_code = 26201
    desc = "task exists"
    status = 409


class AlreadyIndexed(OfTask):
    """The newest index of the label, `task_id`, holds this content."""

    error_code = 26202
    desc = "newest content is already indexed"
    status = 409


class NoSuchIndex(TaskError):
    """The bucket has no such index."""

    error_code = 26204
    desc = "no such index"
    status = 404


class NoSuchTask(TaskError):
    """No task of this id, or it ended longer ago than manager.history_s."""

    error_code = 26220
    desc = "no such task"
    status = 404


class TaskOver(TaskError):
    """A task that has ended, or is in another state than the move begins in."""

    error_code = 26221
    desc = "task is over"
    status = 409


class StaleLeader(TaskError):
    """Another leads by now."""

    error_code = 26222
    desc = "another manager leads"
    status = 409


class BadRequest(TaskError):
    """A value is missing or cannot be what it is."""

    error_code = 26223
    desc = "bad request"
    status = 400


class Unavailable(TaskError):
    """Redis or the bucket cannot be reached for now; the same call may work in a while, and is harmless."""

    error_code = 26224
    desc = "unavailable"
    status = 503


class IdTaken(TaskError):
    """Another task has this id."""

    error_code = 26225
    desc = "task id is taken"
    status = 409


class NoSuchLabel(TaskError):
    """Nothing is published for the label."""

    error_code = 26226
    desc = "no such label"
    status = 404


class InUse(TaskError):
    """An index that serves or is being loaded."""

    error_code = 26227
    desc = "index is in use"
    status = 409


class Unauthorised(TaskError):
    """The token is missing or is not the one that was set."""

    error_code = 26228
    desc = "unauthorised"
    status = 401


class ReadOnly(TaskError):
    """The token reads only."""

    error_code = 26229
    desc = "token reads only"
    status = 403


class NoSuchPage(TaskError):
    """No such route."""

    error_code = 26230
    desc = "page not found"
    status = 404


class BadMethod(TaskError):
    """The route knows other methods."""

    error_code = 26231
    desc = "method not allowed"
    status = 405


class Unreadable(TaskError):
    """A matcher that runs cannot read the index."""

    error_code = 26232
    desc = "index cannot be read by a matcher"
    status = 409
