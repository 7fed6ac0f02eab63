"""What the end of a build means: its code, whether another attempt may help."""

from __future__ import annotations

import logging

from configs.errors import LimError
from configs.hiding import without_password
from manager.builds.wire import Ended
from pipeline.artifact import FenceTooOld, StoreUnavailable
from pipeline.build import Built
from pipeline.errors import NothingToIndex, StageFailed
from pipeline.indexer.errors import BUILD_FAILED, LIST_EMPTY, OUT_OF_MEMORY
from pipeline.sources.errors import SourceChanged, SourceMissing, SourceUnreadable

logger = logging.getLogger(__name__)

EMPTY = (NothingToIndex, SourceMissing)
PASSING = (StoreUnavailable, StageFailed, SourceChanged, SourceUnreadable)
"""Errors of ours that may be gone at another attempt: a bucket or a cluster that is away, a list that is being written."""

MOST_CHARACTERS = 4_000
"""Of a reason: it is kept with the task for as long as the task."""


def success(built: Built) -> Ended:
    """The end of a build that published."""
    return Ended(0, rows=built.manifest.count, digest=built.manifest.content_digest)


def failure(error: Exception, label: str) -> Ended:
    """The end of a build by an error; what is none of ours is logged with its traceback."""
    if isinstance(error, FenceTooOld):
        return Ended(BUILD_FAILED, _said(str(error)), stale=True)
    if isinstance(error, EMPTY):
        return Ended(LIST_EMPTY, _said(str(error)))
    if isinstance(error, LimError):
        return Ended(BUILD_FAILED, _said(str(error)), again=isinstance(error, PASSING))
    logger.error("The build of %s failed.", label, exc_info=error)
    said = _said(f"{type(error).__name__}: {error}")
    if isinstance(error, MemoryError):
        return Ended(OUT_OF_MEMORY, said, again=True)
    return Ended(BUILD_FAILED, said, again=isinstance(error, OSError))  # a connection that broke, in all its forms


def _said(text: str) -> str:
    text = without_password(text)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
