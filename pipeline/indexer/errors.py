"""Errors of the indexer's HTTP, with the original's codes.

IndexerError(LimError)   26100  something that is none of the others
├── Busy                 26101  a build is running, or the service is stopping
├── IdExists             26108  the index id is in the bucket already
└── BadOrder             26110  a field is missing or cannot be what it is

How a build ended is told by the same kind of code: BUILD_FAILED, PROCESS_DIED, LIST_EMPTY, CANCELLED, OUT_OF_MEMORY.
"""

from __future__ import annotations

from typing import ClassVar

from configs.errors import LimError

BUILD_FAILED = 26103
PROCESS_DIED = 26104
LIST_EMPTY = 26105
CANCELLED = 26106
OUT_OF_MEMORY = 26109

DESCRIPTIONS = {
    BUILD_FAILED: "build failed",
    PROCESS_DIED: "build process died",
    LIST_EMPTY: "list is empty",
    CANCELLED: "build was cancelled",
    OUT_OF_MEMORY: "build was killed for lack of memory",
}
"""What `desc` says of the end of a build."""


class IndexerError(LimError):
    """An order that is not carried out; `error_code`, `desc`, `status` are what HTTP carries."""

    error_code: ClassVar[int] = 26100
    desc: ClassVar[str] = "internal error"
    status: ClassVar[int] = 500


class Busy(IndexerError):
    """A build is running, or the service is stopping."""

    error_code = 26101
    desc = "indexer is busy"
    status = 409


class IdExists(IndexerError):
    """The index id is in the bucket already."""

    error_code = 26108
    desc = "index id exists"
    status = 409


class BadOrder(IndexerError):
    """A field of an order is missing or cannot be what it is."""

    error_code = 26110
    desc = "bad request"
    status = 400
