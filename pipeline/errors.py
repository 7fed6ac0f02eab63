"""Errors of a build.

BuildError(LimError)
├── PlanImpossible     rows, dim, memory and target do not fit together; both numbers are in the message
├── NothingToIndex     the source has no row that can be indexed
├── IndexRefused       the measured index misses its target, so it is not published
├── ReadersTooOld      a matcher that is announced does not read the format of the index
└── StageFailed        a stage's item failed; names stage, item and what to do next
"""

from __future__ import annotations

from configs.errors import LimError


class BuildError(LimError):
    """A build that cannot be planned, does not meet its target or fails."""


class PlanImpossible(BuildError):
    """Rows, dim, memory and target do not fit together."""


class NothingToIndex(BuildError):
    """The source has no row that can be indexed."""


class IndexRefused(BuildError):
    """The measured index misses its target; the message says by how much and what would meet it."""


class ReadersTooOld(BuildError):
    """A matcher that is announced does not read the format of the index; the message names it."""


class StageFailed(BuildError):
    """An item of a stage failed; the message names stage, item and cause."""
